"""How figures look: sizes, fonts, and colours that differ in grey and to the colour-blind, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import altair as alt

# Okabe and Ito, "Color Universal Design", 2008; the yellow is left out, as it is hard to see on white.
METHOD_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
METHOD_DASHES = ([1, 0], [6, 2], [2, 2], [8, 2, 2, 2], [4, 4], [1, 2], [10, 3])
METHOD_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
TIER_COLOURS = ("#c6dbef", "#6baed6", "#2171b5", "#08306b")
PART_COLOURS = (
    "#08306b", "#6baed6", "#b15928", "#fdbf6f", "#525252", "#969696", "#d9d9d9", "#e31a1c", "#f0f0f0",
)  # fmt: skip
"""Neighbours in a stack differ in lightness."""
GREYS = ("#8c8c8c", "#a6a6a6", "#bfbfbf", "#999999", "#b3b3b3", "#cccccc", "#8c8c8c")
MARGIN = 76
"""Room for an axis' labels and title beside a panel, in a figure on the page."""
GAP = 20
"""Between two plots beside each other, in pixels; Vega-Lite's default."""
FONT_SIZE = 12
WIDTH_OF_LETTER = 0.55
"""Of its height, about."""


@dataclass(frozen=True)
class Style:
    """Width and fonts of a figure, in CSS pixels or, in a file of vectors, in points of 1/72 inch.

    ``greyed``: a verdict speaks against the figure's data.
    """

    width: int = 760
    font: str = "Liberation Sans, Arial, Helvetica, sans-serif"
    font_size: int = FONT_SIZE
    margin: int = MARGIN
    greyed: bool = False

    @property
    def panel_width(self) -> int:
        """Width of a plot with an axis on its left, without the axis; never so little that none is left."""
        return max(self.width - self.margin, self.width // 2)

    @property
    def scale(self) -> float:
        """How much smaller than on the page lines and points are, as the text is."""
        return self.font_size / FONT_SIZE

    def text_width(self, text: str) -> float:
        """About how wide a text is."""
        return len(text) * self.font_size * WIDTH_OF_LETTER

    def point_size(self, area: float) -> float:
        """The area of a point that is so large on the page."""
        return area * self.scale**2

    def columns(self, plots: int) -> int:
        """How many of so many plots stand beside each other, the others below them."""
        most = 3 if self.width > 400 and (plots % 3 == 0 or plots % 2) else 2
        return max(1, min(plots, most))

    def plot_width(self, columns: int, more: int = 0) -> int:
        """The width of each of the plots beside each other, axes not counted.

        ``more``: room that plots without labels on their left have more.
        """
        return (self.panel_width + more - GAP * (columns - 1)) // columns

    def height(self, share: float) -> int:
        """A height that is that share of the width."""
        return round(self.width * share)

    def of_claims(self, greyed: bool) -> Style:
        """The style for a figure that is, or is not, to be greyed."""
        return replace(self, greyed=greyed)

    def fitted(self, drawn_width: float) -> Style:
        """The style in which a figure that came out ``drawn_width`` wide has the width that it is to have."""
        return replace(self, margin=self.margin + round(drawn_width - self.width))

    def methods(self, names: Sequence[str]) -> alt.Scale:
        """A colour for each method, by its place in the scenario."""
        return _scale(names, GREYS if self.greyed else METHOD_COLOURS)

    def curves_by_method(
        self, names: Sequence[str], shown: Sequence[str] | None = None, joining: bool = False
    ) -> dict[str, Any]:
        """Channels of a curve for each method, which differ in grey too; ``shown`` are in the legend.

        ``joining``: curves join points by :meth:`points_by_method`, which are the legend.
        """
        legend = {} if shown is None else {"values": list(shown)}
        more = {**legend, "symbolStrokeWidth": 0} if joining else legend
        dashes = _scale(names, METHOD_DASHES)
        return self._by_method(names, more, color=self.methods(names), strokeDash=dashes)

    def points_by_method(self, names: Sequence[str], shown: Sequence[str] | None = None) -> dict[str, Any]:
        """Channels of a point for each method, which differ in grey too; ``shown`` are in the legend."""
        more = {} if shown is None else {"values": list(shown), "symbolStrokeWidth": 0}
        return self._by_method(names, more, color=self.methods(names), shape=_scale(names, METHOD_SHAPES))

    def _by_method(self, names: Sequence[str], legend: dict[str, Any], **scales: alt.Scale) -> dict[str, Any]:
        kinds: dict[str, Any] = {"color": alt.Color, "shape": alt.Shape, "strokeDash": alt.StrokeDash}
        shown = alt.Legend(columns=self.legend_columns(legend.get("values", names)), **legend)
        look = {"sort": list(names), "title": None, "legend": shown}
        return {channel: kinds[channel]("method:N", scale=scale, **look) for channel, scale in scales.items()}

    @property
    def _legend_width(self) -> float:
        return self.width - MARGIN * self.scale

    def legend_columns(self, names: Sequence[str]) -> int:
        """How many of these names have room beside each other, with their symbols."""
        widest = max(map(self.text_width, names), default=0.0) + 3 * self.font_size
        return max(1, int(self._legend_width // widest))

    def tiers(self, names: Sequence[str]) -> alt.Scale:
        """Darker for each tier upwards."""
        spread = len(TIER_COLOURS) - 1
        steps = [round(at * spread / max(1, len(names) - 1)) for at in range(len(names))]
        return _scale(names, GREYS if self.greyed else [TIER_COLOURS[step] for step in steps])

    def parts(self, names: Sequence[str]) -> alt.Scale:
        """Colours of a stack's parts, in their order."""
        return _scale(names, GREYS if self.greyed else PART_COLOURS)

    def finish(self, chart: Any) -> Any:
        """The chart with this style's fonts, and legends below it."""
        size = self.font_size
        labels: dict[str, Any] = {"labelFont": self.font, "labelFontSize": size, "titleFont": self.font}
        config = alt.Config(
            font=self.font,
            background="white",
            padding=4,
            axis=alt.AxisConfig(
                **labels, titleFontSize=size, titleFontWeight="normal", gridColor="#e5e5e5",
                domainColor="#888", labelSeparation=size / 3,
                labelLimit=min(180, 0.4 * self.width),
            ),
            legend=alt.LegendConfig(
                **labels, titleFontSize=size, titleFontWeight="normal", orient="bottom", symbolStrokeWidth=2,
                labelLimit=self._legend_width - 3 * size,
                columns=max(2, self.width // (size * 12)), symbolSize=self.point_size(90), rowPadding=2,
            ),
            header=alt.HeaderConfig(
                **labels, titleFontSize=size, labelFontWeight="bold", labelLimit=self.width
            ),
            title=alt.TitleConfig(font=self.font, fontSize=size, anchor="start", fontWeight="bold"),
            text=alt.MarkConfig(font=self.font, fontSize=size),
            view=alt.ViewConfig(stroke="#ccc"),
        )  # fmt: skip
        return chart.properties(config=config)


def _scale(names: Sequence[str], values: Sequence[Any]) -> alt.Scale:
    """Each name with its value; from the start again where there are more names."""
    return alt.Scale(domain=list(names), range=[values[at % len(values)] for at in range(len(names))])
