"""The tables of a frontier show its figures, and say how they were come by."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import pytest
from rich.console import Console

from testbed.console import Reporter
from testbed.report.frontier import frontier_notes, frontier_tables, print_frontiers
from testbed.results.frontier import Frontiers
from testbed.results.statistics import Interval
from testbed.study.what_if.evaluate import evaluate
from testbed.study.what_if.frontier import frontiers_of
from testbed.study.what_if.grid import grid
from testbed.study.what_if.predict import WhatIf
from tests.study.what_if.made import made_study


@pytest.fixture(scope="module")
def found() -> Frontiers:
    study = made_study(150)
    points = grid(["recserve", "colserve"], ["beta=0.1,0.3,0.7", "share=0.2,0.8"], study.scenario, 150)
    levels = [one.levels for one in evaluate(study, points, Reporter())]
    served = [(point, level) for point, level in zip(points, levels, strict=True) if level is not None]
    return frontiers_of(WhatIf("made", study, [], "", [], served=served))


def shown(found: Frontiers, *, points: bool = True) -> str:
    file = io.StringIO()
    print_frontiers(found, Console(file=file, width=170), points=points)
    return file.getvalue()


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("│")[1:-1]]


def test_every_point_every_share_and_every_difference_has_its_line(found: Frontiers) -> None:
    (one,) = found.frontiers
    points, at, quality, in_bytes = frontier_tables(found)
    assert points.row_count == sum(len(curve.points) for curve in one.curves if not curve.by_lot)
    assert at.row_count == 3  # with the lot
    assert (quality.row_count, in_bytes.row_count) == (3, 3)
    assert len(frontier_tables(found, points=False)) == 3
    lines = [cells(line) for line in shown(found).splitlines() if "│" in line]
    placed = one.curves[0].points[1]
    burden, score = placed.burden.interval, placed.quality.interval
    assert burden is not None
    assert score is not None
    assert [
        "recserve", "beta=0.3", f"{placed.prompt_bytes / 1000:,.1f}",
        f"{placed.burden.value:.3f} [{burden.low:.3f}, {burden.high:.3f}]",
        f"{placed.quality.value:.3f} [{score.low:.3f}, {score.high:.3f}]",
    ] in lines  # fmt: skip
    line = one.differences[1]
    assert line.values is not None
    assert line.interval is not None
    assert line.together is not None
    assert [
        "recserve", "colserve", "20%", f"{line.values[0]:.3f} → {line.values[1]:.3f}",
        f"{line.difference:+.3f} [{line.interval.low:+.3f}, {line.interval.high:+.3f}]",
        f"[{line.together.low:+.3f}, {line.together.high:+.3f}]",
        f"{line.p_value:.4f}", f"{line.adjusted_p:.4f}",
    ] in lines  # fmt: skip


def test_it_says_how_intervals_were_made_and_how_many_lines_were_corrected_for(found: Frontiers) -> None:
    (one,) = found.frontiers
    text = " ".join(shown(found).split())
    lines = sum(line.p_value is not None for line in one.differences)
    assert f"all together: the {lines} lines of both tables" in text
    assert "150 requests, 150 prompts, which are resampled with all their requests" in text
    assert "recserve has 3 points; with fewer than 7" in text


def test_an_open_end_is_infinite_and_what_is_lacking_is_a_dash_with_its_reason(found: Frontiers) -> None:
    (one,) = found.frontiers
    lines = list(one.differences)
    lines[4] = replace(lines[4], difference=0.1, values=(0.2, 0.3), interval=Interval(-math.inf, math.inf))
    lines[5] = replace(
        lines[5], difference=None, values=None, p_value=None, why="colserve is nowhere as good"
    )
    text = shown(Frontiers([replace(one, differences=lines)]))
    assert "+10.0% [-∞, ∞]" in text
    assert "-: recserve and colserve at 40%: colserve is nowhere as good" in text


def test_conditions_stand_in_titles_and_notes_below(found: Frontiers) -> None:
    (one,) = found.frontiers
    told = replace(one, condition={"links.core.loss": "1%"}, seeds=[1, 2], notes=[])
    text = " ".join(shown(Frontiers([told], ["left out: point 3: waiting"])).split())
    assert text.count("links.core.loss=1%") == 4
    assert "150 requests of 2 seeds" in text
    assert text.endswith("left out: point 3: waiting")
    assert shown(Frontiers((), ())) == ""


def test_a_note_of_one_condition_says_which(found: Frontiers) -> None:
    (one,) = found.frontiers
    conditions = [{"links.core.loss": "0%"}, {"links.core.loss": "1%"}]
    first, second = (replace(one, condition=condition, notes=["of both"]) for condition in conditions)
    both = Frontiers([first, replace(second, notes=["of both", "left out: beta=0.1"])], ["of all"])
    assert frontier_notes(both) == ["of both", "links.core.loss=1%: left out: beta=0.1", "of all"]
