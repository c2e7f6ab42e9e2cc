"""Quality against burden of a sweep or a what-if: a curve for each method."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

from testbed.report.figures.figure import Figure, Subject, source
from testbed.report.figures.style import Style
from testbed.results.fidelity import CLAIMS
from testbed.results.frontier import SHARES, Frontier, Frontiers


def what_if_subject(found: Frontiers, title: str, folder: Path) -> Subject:
    """The frontiers of a what-if, whose figures go into ``folder``."""
    figures = frontier_figures(found)
    return Subject(folder, "what-if", title, f"what-if: {title}", figures, dict.fromkeys(CLAIMS, True))


def frontier_figures(found: Frontiers) -> list[Figure]:
    """A figure for each frontier."""
    one = len(found.frontiers) == 1
    return [
        _figure(frontier, "frontier" if one else f"frontier-{number}")
        for number, frontier in enumerate(found.frontiers, start=1)
    ]


def _figure(frontier: Frontier, name: str) -> Figure:
    condition = "".join(f", {key}={value}" for key, value in frontier.condition.items())
    heading = frontier.heading
    data = pd.DataFrame(_rows(frontier))
    return Figure(
        name,
        f"Quality against burden by setting{condition}",
        f"{heading[0].upper()}{heading[1:]} with its 95 % interval over prompt bytes on all links, as shares "
        "of cloud-only's: a point for each setting, a line for each method. One setting for some requests, "
        "drawn by lot, and its neighbour for the rest lie on the line between them. "
        f"{_lot(frontier)}Intervals are by resampling {frontier.prompts:,} prompts, the same for all points: "
        "methods may differ where they overlap. The tables compare them at the dotted lines.",
        ("bytes", "quality"),
        data,
        lambda style: _chart(data, heading, style),
    )


def _lot(frontier: Frontier) -> str:
    names = [curve.method for curve in frontier.curves if curve.by_lot]
    return f"The grey line is {names[0]}, request by request. " if names else ""


def _rows(frontier: Frontier) -> Iterator[dict[str, Any]]:
    for curve in frontier.curves:
        for point in curve.points:
            low, high = point.quality.interval or (None, None)
            least, most = point.burden.interval or (None, None)
            yield {
                "method": curve.method,
                "setting": point.label,
                "burden_vs_cloud_only": point.burden.value,
                "burden_low": least,
                "burden_high": most,
                "quality": point.quality.value,
                "quality_low": low,
                "quality_high": high,
                "prompt_bytes": point.prompt_bytes,
                "by_lot": curve.by_lot,
            }


def _chart(data: pd.DataFrame, heading: str, style: Style) -> Any:
    """Lines of each method with its points, over the line of the lot and the shares that are compared."""
    mine, lot = data[~data["by_lot"]], data[data["by_lot"]]
    methods = list(dict.fromkeys(mine["method"]))
    x = alt.X(
        "burden_vs_cloud_only:Q",
        title="prompt bytes on all links, of cloud-only's",
        axis=alt.Axis(format="%"),
        scale=alt.Scale(zero=True),
    )
    y = alt.Y("quality:Q", title=heading, scale=alt.Scale(zero=False))
    at = alt.Chart(alt.InlineData([{"share": share} for share in SHARES])).encode(x="share:Q")
    dealt = alt.Chart(source(lot)).encode(x=x, y=y).mark_line(color="#aaa", strokeWidth=style.scale)
    base = alt.Chart(source(mine)).encode(x=x)
    points, lines = style.points_by_method(methods), style.curves_by_method(methods)
    # As the points are, without the lines' dashes.
    whole = alt.Legend(symbolStrokeWidth=0, symbolOpacity=1, columns=style.legend_columns(methods))
    points["color"] = points["color"].legend(whole)
    return alt.layer(
        at.mark_rule(color="#bbb", strokeDash=[1, 3], strokeWidth=style.scale),
        dealt,
        base.mark_rule(strokeWidth=style.scale, opacity=0.6).encode(
            y=alt.Y("quality_low:Q", title=heading), y2="quality_high:Q", color=points["color"]
        ),
        base.mark_line(strokeWidth=1.6 * style.scale).encode(y=y, order="burden_vs_cloud_only:Q", **lines),
        base.mark_point(size=style.point_size(50), filled=True, opacity=1).encode(
            y=y,
            tooltip=[
                "method:N",
                "setting:N",
                alt.Tooltip("quality:Q", format=".4"),
                alt.Tooltip("quality_low:Q", format=".4"),
                alt.Tooltip("quality_high:Q", format=".4"),
                alt.Tooltip("burden_vs_cloud_only:Q", format=".3"),
                alt.Tooltip("prompt_bytes:Q", format=",.0f"),
            ],
            **points,
        ),
    ).properties(width=style.panel_width, height=style.height(0.5))
