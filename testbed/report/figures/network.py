"""The drawing of a run's network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import altair as alt
import pandas as pd

from testbed.report.figures import run_data
from testbed.report.figures.figure import Figure, source
from testbed.report.figures.run_data import RunData
from testbed.report.figures.style import GAP, Style

MAX_LABELS = 24
"""Of nodes: more would lie on top of each other."""
WIDEST = 14
"""Of a link on the page, in pixels."""
_STILL = alt.Axis(labels=False, ticks=False, grid=False, domain=False, title=None)


def network(data: RunData) -> Iterator[Figure]:
    """The nodes by tier, and each link as wide as its load, method by method."""
    if not data.topology.links:
        return
    loads, places = run_data.link_loads(data), run_data.nodes(data)
    nodes = pd.DataFrame({"method": data.methods}).merge(places, how="cross")

    def draw(style: Style) -> Any:
        columns = style.columns(len(data.methods))
        width = style.plot_width(columns, more=60)
        ends = (
            alt.Chart()
            .transform_filter("datum.node != null")
            .encode(
                x=alt.X("x:Q", scale=alt.Scale(domain=[0, 1.15]), axis=_STILL), y=alt.Y("y:Q", axis=_STILL)
            )
        )
        layers = [
            _links(style),
            ends.mark_circle(size=style.point_size(90), color="#333", opacity=1).encode(tooltip="node:N"),
        ]
        if len(places) <= MAX_LABELS:
            beside = ends.transform_filter("datum.y > 0").mark_text(
                dx=9 * style.scale, align="left", baseline="middle"
            )
            below = ends.transform_filter("datum.y == 0").mark_text(dy=12 * style.scale)
            layers += [names.encode(text="node:N") for names in (beside, below)]
        header = alt.Header(labelLimit=width + GAP)
        return (
            alt.layer(*layers, data=source(pd.concat([loads, nodes])))
            .properties(width=width, height=max(60, width // 2))
            .facet(facet=alt.Facet("method:N", title=None, sort=data.methods, header=header), columns=columns)
        )

    yield Figure(
        "network",
        "The network and its load",
        "Each link is as wide as the frame bytes that crossed it in both directions, by method.",
        (),
        loads,
        draw,
    )


def _links(style: Style) -> Any:
    """The links alone, of rows that have one."""
    colour = "#999" if style.greyed else "#4292c6"
    legend = alt.Legend(title="frames, KB", symbolType="stroke", symbolStrokeColor=colour, tickCount=4)
    size = alt.Scale(range=[0.6 * style.scale, WIDEST * style.scale], domainMin=0)
    figures = [("up_bytes:Q", ","), ("down_bytes:Q", ","), ("mean_kbps:Q", ".3"), ("share_of_rate:Q", ".2%")]
    return (
        alt.Chart()
        .transform_filter("datum.link != null")
        .mark_rule(strokeCap="round", color=colour)
        .encode(
            x=alt.X("child_x:Q", axis=_STILL),
            y=alt.Y("child_y:Q", axis=_STILL, scale=alt.Scale(domain=[-0.25, 1.15])),
            x2="parent_x:Q",
            y2="parent_y:Q",
            size=alt.Size("kilobytes:Q", scale=size, legend=legend),
            tooltip=["link:N", "method:N", *(alt.Tooltip(field, format=form) for field, form in figures)],
        )
    )
