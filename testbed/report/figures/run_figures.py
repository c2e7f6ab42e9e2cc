"""The figures of one run, each made from its directory alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import altair as alt
import pandas as pd

from testbed.report.figures import run_data
from testbed.report.figures.figure import Figure, Subject, source, tooltip
from testbed.report.figures.network import network
from testbed.report.figures.run_data import PARTS, RunData
from testbed.report.figures.style import Style
from testbed.report.tables import CAUSES
from testbed.results.run import Run

SECONDS = "s since the start"


def run_subject(run: Run) -> Subject:
    """A run with its figures."""
    words = f"run {run.manifest['run_id']} of {run.scenario.name}, {run.manifest['started_at']}"
    early = run.ended_early or ""
    return Subject(
        run.path, "run", run.scenario.name, words, run_figures(run), run.summary["faithful"], early
    )


def run_figures(run: Run) -> list[Figure]:
    """All figures for which the run has data, in the order of the page; none if no method came to its end."""
    data = RunData(run)
    if not data.methods:
        return []
    return [figure for make in _FIGURES for figure in make(data) if len(figure.data)]


def _quality_burden(data: RunData) -> Iterator[Figure]:
    points, key, heading = run_data.quality_and_burden(data), data.scorer.key, data.scorer.heading

    def draw(style: Style) -> Any:
        y = alt.Y(f"{key}:Q", title=heading, scale=alt.Scale(zero=False))
        by_method = style.points_by_method(data.methods)
        base = alt.Chart(source(points)).encode(
            x=alt.X("burden_vs_cloud_only:Q", title="prompt bytes on all links, of cloud-only's")
        )
        front = base.transform_filter("datum.on_frontier").mark_line(
            interpolate="step-after", color="#aaa", strokeDash=[4, 3], strokeWidth=1.5 * style.scale
        )
        bars = base.mark_rule(strokeWidth=1.5 * style.scale)
        marks = base.mark_point(size=style.point_size(90), filled=True, opacity=1)
        shown = [(f"{key}:Q", ".4"), ("low:Q", ".4"), ("high:Q", ".4"), ("burden_vs_cloud_only:Q", ".3")]
        return alt.layer(
            front.encode(y=y, order="burden_vs_cloud_only:Q"),
            bars.encode(y=alt.Y("low:Q", title=heading), y2="high:Q", color=by_method["color"]),
            marks.encode(y=y, tooltip=tooltip("method:N", shown), **by_method),
        ).properties(width=style.panel_width, height=style.height(0.42))

    yield Figure(
        "quality-burden",
        "Quality against burden",
        f"{heading[0].upper()}{heading[1:]} with its 95 % interval over prompt bytes on all links, as shares "
        "of cloud-only's. The dashed line joins the methods that no other beats in both.",
        ("bytes", "quality"),
        points,
        draw,
    )


def _stacked(
    frame: pd.DataFrame, value: str, part: str, parts: list[str], title: str, methods: list[str]
) -> Callable[[Style], Any]:
    """Bars of a method each, stacked by part."""
    order = {name: at for at, name in enumerate(parts)}

    def draw(style: Style) -> Any:
        scale = style.tiers(parts) if part == "tier" else style.parts(parts)
        return (
            alt.Chart(source(frame.assign(order=frame[part].map(order))))
            .mark_bar(stroke="white", strokeWidth=0.5 * style.scale, opacity=0.6 if style.greyed else 1)
            .encode(
                x=alt.X(f"{value}:Q", title=title, scale=alt.Scale(nice=value != "share")),
                y=alt.Y("method:N", sort=methods, title=None),
                color=alt.Color(f"{part}:N", scale=scale, sort=parts, title=None),
                order="order:Q",
                tooltip=["method:N", *tooltip(f"{part}:N", [(f"{value}:Q", ",.4~f")])],
            )
            .properties(width=style.panel_width, height=alt.Step(style.font_size + 10 * style.scale))
        )

    return draw


def _bytes_by_cause(data: RunData) -> Iterator[Figure]:
    frame = run_data.bytes_by_cause(data)
    parts = [part.replace("_", " ") for part in PARTS]
    hops = list(frame["hop"].unique())

    def panel(hop: str, style: Style) -> Any:
        of_hop = frame[frame["hop"] == hop]
        title = "bytes" if hop == hops[-1] else ""
        return _stacked(of_hop, "bytes", "cause", parts, title, data.methods)(style).properties(
            title=str(hop)
        )

    yield Figure(
        "bytes-by-cause",
        "Bytes by cause",
        "What crossed the links of each hop, in both directions, by cause. The parts add up to all frames.",
        ("bytes",),
        frame,
        lambda style: alt.vconcat(*(panel(hop, style) for hop in hops)).resolve_scale(x="shared"),
    )


def _time_spent(data: RunData) -> Iterator[Figure]:
    frame = run_data.time_spent(data)
    title = "mean ms of an answered request"
    yield Figure(
        "time-spent",
        "Where the milliseconds went",
        "Mean time of an answered request by cause; the parts add up to the mean latency.",
        ("latency",),
        frame,
        _stacked(frame, "mean_ms", "cause", list(CAUSES.values()), title, data.methods),
    )


def _latency(data: RunData) -> Iterator[Figure]:
    frame = run_data.latency_quantiles(data)

    def draw(style: Style) -> Any:
        return (
            alt.Chart(source(frame))
            .mark_line(interpolate="step-after", strokeWidth=2 * style.scale)
            .encode(
                x=alt.X("latency_ms:Q", title="latency, ms", scale=alt.Scale(zero=True)),
                y=alt.Y("share:Q", title="share of requests", scale=alt.Scale(domain=[0, 1])),
                tooltip=tooltip("method:N", [("latency_ms:Q", ",.1f"), ("share:Q", ".1%")]),
                **style.curves_by_method(data.methods),
            )
            .properties(width=style.panel_width, height=style.height(0.4))
        )

    yield Figure(
        "latency",
        "Latency",
        "Share of all requests that were answered within a time; a request without an answer never is.",
        ("latency",),
        frame,
        draw,
    )


def _confidences(data: RunData) -> Iterator[Figure]:
    for method in data.methods:
        frame = run_data.decisions(data, method)
        if frame["threshold"].notna().any():
            yield Figure(
                f"confidences-{method}",
                f"Confidence and threshold under {method}",
                "Each decision of a tier at the time of its request; below the threshold (a line for each "
                f"node) it goes up. At most {run_data.MAX_POINTS} decisions of a tier, evenly spread.",
                ("decisions",),
                frame,
                _drawn_confidences(frame),
            )


def _drawn_confidences(frame: pd.DataFrame) -> Callable[[Style], Any]:
    tiers = [str(tier) for tier in frame["tier"].unique()]
    decided = ["kept", "sent up"]

    def panel(tier: str, style: Style) -> Any:
        colours = ["#999", "#555"] if style.greyed else ["#56B4E9", "#D55E00"]
        shapes = alt.Scale(domain=decided, range=["circle", "triangle-up"])
        x = alt.X("at_s:Q", title=SECONDS if tier == tiers[-1] else "")
        base = alt.Chart(source(frame[frame["tier"] == tier])).encode(x=x)
        shown = [
            "request_id:N",
            "node:N",
            *tooltip("decision:N", [("confidence:Q", ".4"), ("threshold:Q", ".4")]),
        ]
        points = base.mark_point(filled=True, size=style.point_size(22), opacity=0.8).encode(
            y=alt.Y("confidence:Q", title="confidence", scale=alt.Scale(zero=False)),
            color=alt.Color("decision:N", scale=alt.Scale(domain=decided, range=colours), title=None),
            shape=alt.Shape("decision:N", scale=shapes, title=None),
            tooltip=shown,
        )
        line = base.mark_line(color="#000", strokeWidth=1.2 * style.scale)
        return alt.layer(points, line.encode(y="threshold:Q", detail="node:N")).properties(
            width=style.panel_width, height=style.height(0.2), title=tier
        )

    return lambda style: alt.vconcat(*(panel(tier, style) for tier in tiers))


def _served_by(data: RunData) -> Iterator[Figure]:
    frame = run_data.served_by(data)
    yield Figure(
        "served-by",
        "Who answered",
        "Share of all requests that each tier answered; what is missing to 1 had no answer.",
        (),
        frame,
        _stacked(frame, "share", "tier", data.tiers, "share of requests", data.methods),
    )


def _passed_on(data: RunData) -> Iterator[Figure]:
    frame = run_data.passed_on(data)
    if frame.empty:
        return
    tiers = [str(tier) for tier in frame["tier"].unique()]
    methods = [method for method in data.methods if method in set(frame["method"])]

    def panel(tier: str, style: Style) -> Any:
        curves = style.curves_by_method(data.methods, methods)
        counted = alt.Scale(nice=False, domain=[0, int(frame["requests"].max())])
        x = alt.X("requests:Q", title="requests so far" if tier == tiers[-1] else "", scale=counted)
        y = alt.Y("share:Q", title="share", scale=alt.Scale(domain=[0, 1]))
        shown = [("requests:Q", ","), ("share:Q", ".3"), ("share_asymptotic:Q", ".3")]
        base = alt.Chart(source(frame[frame["tier"] == tier]))
        lines = base.mark_line(strokeWidth=1.6 * style.scale).encode(
            x=x, y=y, tooltip=tooltip("method:N", shown), **curves
        )
        asked = base.mark_rule(strokeWidth=style.scale, opacity=0.8).encode(
            y=alt.Y("max(share_asymptotic):Q", title="share"), color=curves["color"], detail="method:N"
        )
        return alt.layer(asked, lines).properties(
            width=style.panel_width, height=style.height(0.2), title=f"from {tier}"
        )

    yield Figure(
        "passed-on",
        "Passed on, beside theory",
        "Share of the requests so far that each hop passed on, by method, in the order of the trace. The "
        "thin line is what the method asks for: of very many requests so large a share would go up.",
        ("decisions",),
        frame,
        lambda style: alt.vconcat(*(panel(tier, style) for tier in tiers)),
    )


def _time_line(data: RunData) -> Iterator[Figure]:
    if data.run.scenario.replay.mode != "open":
        return
    frame, happened = run_data.time_line(data), run_data.events(data)
    quantities = [str(quantity) for quantity in frame["quantity"].unique()]
    seconds = alt.Scale(domain=[0, float(frame["at_s"].max())], nice=False)

    def panel(quantity: str, style: Style) -> Any:
        x = alt.X("at_s:Q", title=SECONDS if quantity == quantities[-1] else "", scale=seconds)
        curves = (
            alt.Chart(source(frame[frame["quantity"] == quantity]))
            .mark_line(interpolate="step-before", strokeWidth=1.4 * style.scale)
            .encode(
                x=x,
                y=alt.Y("value:Q", title=quantity),
                tooltip=["method:N", *tooltip("at_s:Q", [("value:Q", ".3")])],
                **style.curves_by_method(data.methods),
            )
        )
        layers = [*_marked(happened, x), curves] if len(happened) else [curves]
        return alt.layer(*layers).properties(width=style.panel_width, height=style.height(0.16))

    yield Figure(
        "time-line",
        "Load, queue and events",
        "Requests offered (alike under all methods) and done in each second, and those outstanding: offered "
        "and not yet done. Dashed lines are events; what lasts is shaded.",
        ("latency",),
        frame,
        lambda style: alt.vconcat(*(panel(quantity, style) for quantity in quantities)),
    )


def _marked(happened: pd.DataFrame, x: Any) -> list[Any]:
    """Events as marks on a time line."""
    marks = alt.Chart(source(happened)).encode(x=x, tooltip=["what:N", "at_s:Q", "ends_at_s:Q"])
    lasting = marks.transform_filter("datum.ends_at_s != null").mark_rect(color="#000", opacity=0.06)
    return [lasting.encode(x2="ends_at_s:Q"), marks.mark_rule(color="#555", strokeDash=[3, 3])]


_FIGURES: tuple[Callable[[RunData], Iterator[Figure]], ...] = (
    network, _quality_burden, _bytes_by_cause, _time_spent, _latency, _confidences, _served_by,
    _passed_on, _time_line,
)  # fmt: skip
