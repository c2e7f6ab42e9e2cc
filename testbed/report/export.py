"""The figures of a run, a sweep or a what-if as files for a paper: PDF, SVG and PNG, each with its data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import vl_convert

from testbed.errors import TestbedError
from testbed.host.files import write_whole
from testbed.report.figures.figure import Figure, Subject
from testbed.report.figures.style import Style
from testbed.results.seals import FIGURES

Format = Literal["pdf", "svg", "png"]
FORMATS: tuple[Format, ...] = get_args(Format)
POINTS_PER_INCH = 72
PNG_PPI = 300
MADE_BY = "made-by.txt"
_FITTINGS = 4
"""How often a figure is drawn to find its width, at most."""


def write_figures(
    subject: Subject,
    width_in: float,
    font_size: int,
    formats: Sequence[Format] = FORMATS,
    *,
    folder: Path | None = None,
    command: str | None = None,
) -> list[Path]:
    """Write ``NAME.pdf``, ``.svg``, ``.png`` and ``.csv`` of each figure into ``figures/`` of its directory.

    A figure is ``width_in`` inches wide, so that it needs no scaling in a column of that width and its text
    stays ``font_size`` points. ``made-by.txt`` has a line for each: of which run, sweep or what-if it
    is, and the command that made it.

    Args:
        folder: another one.
        command: that made them, if it is not ``testbed report``.

    Raises:
        TestbedError: the directory cannot be written to.
    """
    folder = folder or subject.path / FIGURES
    style = Style(width=round(width_in * POINTS_PER_INCH), font_size=font_size)
    if command is None:
        command = f"testbed report {subject.path.name} --figures --width {width_in:g} --font-size {font_size}"
    written: list[Path] = []
    lines = [f"{subject.early}: what is drawn was measured until then\n"] if subject.early else []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for figure in subject.figures:
            spec = fitted(figure, style, subject.faithful)
            for suffix, content in _drawn(spec, formats):
                written.append(folder / f"{figure.name}.{suffix}")
                write_whole(written[-1], content)
            written.append(folder / f"{figure.name}.csv")
            write_whole(written[-1], figure.data.to_csv(index=False).encode())
            warning = figure.warning(subject.faithful)
            said = "; ".join([figure.title, subject.words, command, *([warning] if warning else [])])
            lines.append(f"{figure.name}: {said}\n")
        write_whole(folder / MADE_BY, "".join(lines).encode())
    except OSError as error:
        raise TestbedError(f"{error.filename or folder}: cannot be written ({error.strerror})") from error
    return [*written, folder / MADE_BY]


def fitted(figure: Figure, style: Style, faithful: Mapping[str, bool]) -> dict[str, Any]:
    """The figure's specification, as wide as the style says: how much room labels take is seen when drawn."""
    for _ in range(_FITTINGS):
        spec = figure.spec(style, faithful)
        found = re.search(r'<svg[^>]* width="([0-9.]+)"', vl_convert.vegalite_to_svg(spec))
        assert found is not None, "an SVG has a width"
        if abs(float(found[1]) - style.width) <= 1:
            break
        style = style.fitted(float(found[1]))
    return spec


def _drawn(spec: dict[str, Any], formats: Sequence[Format]) -> Iterator[tuple[str, bytes]]:
    """A chart in each of the formats, with its suffix."""
    for suffix in formats:
        if suffix == "pdf":
            yield suffix, vl_convert.vegalite_to_pdf(spec)
        elif suffix == "svg":
            yield suffix, vl_convert.vegalite_to_svg(spec).encode()
        else:
            yield suffix, vl_convert.vegalite_to_png(spec, ppi=PNG_PPI)
