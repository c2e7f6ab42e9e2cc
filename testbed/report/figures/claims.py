"""Figures of the paper's claims, from frames that have the ladders in a column."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from testbed.report.figures.figure import Figure, source, tooltip
from testbed.report.figures.run_data import PARTS
from testbed.report.figures.style import Style


def burden_figure(data: pd.DataFrame) -> Figure:
    """The burden over β of each ladder, beside theory.

    ``data`` has ``ladder``, ``beta``, ``burden``, ``low``, ``high`` and ``theory``.
    """
    ladders = list(dict.fromkeys(data["ladder"]))

    def draw(style: Style) -> Any:
        base = alt.Chart(source(data)).encode(x=alt.X("beta:Q", title="β", scale=alt.Scale(domain=[0, 1])))
        title = "burden, of asking the cloud directly"
        points, lines = _by_ladder(style, ladders)
        even = alt.Chart(alt.InlineData([{"burden": 1.0}])).encode(y="burden:Q")
        shown = [(f"{name}:Q", ".3f") for name in ("beta", "burden", "low", "high", "theory")]
        return alt.layer(
            even.mark_rule(color="#bbb", strokeDash=[1, 3], strokeWidth=style.scale),
            base.mark_line(color="#999", strokeWidth=1.6 * style.scale).encode(y="theory:Q"),
            base.mark_rule(strokeWidth=style.scale, opacity=0.6).encode(
                y=alt.Y("low:Q", title=title), y2="high:Q", color=points["color"]
            ),
            base.mark_line(strokeWidth=1.6 * style.scale).encode(y=alt.Y("burden:Q", title=title), **lines),
            base.mark_point(size=style.point_size(50), filled=True, opacity=1).encode(
                y="burden:Q", tooltip=tooltip("ladder:N", shown), **points
            ),
        ).properties(width=style.panel_width, height=style.height(0.45))

    return Figure(
        "burden-by-beta",
        "Where recursion pays",
        "The paper's burden of RecServe, as a share of asking the cloud directly in one hop, over β, with "
        "its 95 % interval by resampling prompts. The grey line is theory, β(1 + β); recursion pays below "
        "the dotted line.",
        (),
        data,
        draw,
    )


def window_figure(data: pd.DataFrame) -> Figure:
    """What quality each window has over the largest.

    ``data`` has ``ladder`` (with the score's name), ``window``, ``difference``, ``low`` and ``high``.
    """
    ladders = list(dict.fromkeys(data["ladder"]))

    def draw(style: Style) -> Any:
        windows = sorted(set(data["window"]))
        scale = alt.Scale(type="log", domain=[windows[0] / 1.5, windows[-1] * 1.5])
        x = alt.X("window:Q", title="window N", scale=scale, axis=alt.Axis(values=windows, format=","))
        shown = [(f"{name}:Q", ".4f") for name in ("window", "difference", "low", "high")]
        width = style.plot_width(len(ladders), -style.margin // 2 * (len(ladders) - 1))

        def panel(ladder: str) -> Any:
            base = alt.Chart(source(data[data["ladder"] == ladder])).encode(x=x)
            title = "quality less that of N = 10,000" if ladder == ladders[0] else ""
            zero = alt.Chart(alt.InlineData([{"none": 0.0}])).encode(y="none:Q")
            return alt.layer(
                zero.mark_rule(color="#bbb", strokeDash=[1, 3], strokeWidth=style.scale),
                base.mark_rule(strokeWidth=1.4 * style.scale, color="#0072B2").encode(
                    y=alt.Y("low:Q", title=title), y2="high:Q"
                ),
                base.mark_point(size=style.point_size(60), filled=True, opacity=1, color="#0072B2").encode(
                    y=alt.Y("difference:Q", title=title), tooltip=tooltip("ladder:N", shown)
                ),
            ).properties(width=width, height=style.height(0.36), title=ladder)

        return alt.hconcat(*map(panel, ladders))

    return Figure(
        "window",
        "Sensitivity to the window",
        "RecServe's quality with each window less its quality with N = 10,000, β = 0.3, with the paired 95 % "
        "interval; 0.01 of accuracy is one answer in a hundred.",
        (),
        data,
        draw,
    )


def length_figure(data: pd.DataFrame) -> Figure:
    """How long what is sent up is, by hop: ``ladder``, ``hop``, ``ratio``, ``low`` and ``high``."""
    ladders = list(dict.fromkeys(data["ladder"]))

    def draw(style: Style) -> Any:
        points, _ = _by_ladder(style, ladders)
        title = "E[bytes | sent up] / E[bytes]"
        base = alt.Chart(source(data)).encode(
            y=alt.Y("hop:N", title=None), yOffset=alt.YOffset("ladder:N", sort=ladders)
        )
        even = alt.Chart(alt.InlineData([{"ratio": 1.0}])).encode(x="ratio:Q")
        shown = [(f"{name}:Q", ".3f") for name in ("ratio", "low", "high")]
        return alt.layer(
            even.mark_rule(color="#888", strokeDash=[1, 3], strokeWidth=1.4 * style.scale),
            base.mark_rule(strokeWidth=1.4 * style.scale).encode(
                x=alt.X("low:Q", title=title, scale=alt.Scale(zero=False)), x2="high:Q", color=points["color"]
            ),
            base.mark_point(size=style.point_size(60), filled=True, opacity=1).encode(
                x=alt.X("ratio:Q", title=title), tooltip=tooltip("ladder:N", shown), **points
            ),
        ).properties(width=style.panel_width, height=alt.Step(style.font_size + 8 * style.scale))

    return Figure(
        "length-effect",
        "The length effect",
        "How long prompts that RecServe (β = 0.3) sends up are, as a share of the mean, by hop, with the "
        "95 % interval. Theory takes 1.",
        (),
        data,
        draw,
    )


def causes_figure(data: pd.DataFrame, ladder: str) -> Figure:
    """Bytes on the wire by cause, beside the formula.

    ``data`` has ``method``, ``cause``, ``bytes_per_request`` and ``formula_bytes_per_request``.
    """
    methods = list(dict.fromkeys(data["method"]))
    parts = [part.replace("_", " ") for part in PARTS]
    order = {name: at for at, name in enumerate(parts)}

    def draw(style: Style) -> Any:
        base = alt.Chart(source(data.assign(order=data["cause"].map(order)))).encode(
            y=alt.Y("method:N", sort=methods, title=None)
        )
        title = "mean bytes of a request, on all links"
        shown = [("bytes_per_request:Q", ",.1f"), ("formula_bytes_per_request:Q", ",.1f")]
        bars = base.mark_bar(stroke="white", strokeWidth=0.5 * style.scale).encode(
            x=alt.X("sum(bytes_per_request):Q", title=title),
            color=alt.Color("cause:N", scale=style.parts(parts), sort=parts, title=None),
            order="order:Q",
            tooltip=["method:N", *tooltip("cause:N", shown)],
        )
        ticks = base.mark_tick(color="black", thickness=2.5 * style.scale).encode(
            x=alt.X("mean(formula_bytes_per_request):Q", title=title)
        )
        height = alt.Step(style.font_size + 10 * style.scale)
        return alt.layer(bars, ticks).properties(width=style.panel_width, height=height)

    return Figure(
        f"bytes-by-cause-{ladder}",
        f"Bytes on the wire beside the paper's formula: {ladder}",
        "What crossed the links by cause, both directions and all hops, as the mean of a request, from "
        "captures. The black tick is what the paper's formula counts, prompt and answer, each byte once on a "
        "hop and cloud-only as one hop.",
        ("bytes",),
        data,
        draw,
    )


def _by_ladder(style: Style, ladders: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Channels of points and of lines, a colour for each ladder; points are the legend."""
    legend = alt.Legend(symbolOpacity=1, symbolStrokeWidth=0)
    colour = alt.Color("ladder:N", scale=style.methods(ladders), sort=ladders, title=None, legend=legend)
    shape = alt.Shape(
        "ladder:N", scale=alt.Scale(domain=ladders, range=["circle", "square", "diamond"]), title=None
    )
    return {"color": colour, "shape": shape}, {"color": colour}
