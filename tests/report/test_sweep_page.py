"""The page of a sweep: its verdicts in words, its table, its figures, and what is missing."""

from __future__ import annotations

import re
import shutil
from html import unescape
from pathlib import Path

import pandas as pd
import pytest

from testbed.report.export import FORMATS, MADE_BY, write_figures
from testbed.report.figures.sweep_data import SweepData
from testbed.report.figures.sweep_figures import sweep_subject
from testbed.report.sweep_page import MAX_ROWS, render_sweep_page, write_sweep_page
from testbed.results.seals import FIGURES, PAGE
from testbed.study.sweep.directory import SweepDirectory
from testbed.study.sweep.table import sweep_table
from tests.report.browser import drawn_by_browser
from tests.study.sweep.made import data_of, doubt, made_sweep

GIVEN = ["methods.recserve.beta=0.1,0.5", "links.core.loss=0%,1%"]
NASTY = "</script><script>document.title = 'broken'</script>"


@pytest.fixture
def sweep(tmp_path: Path) -> SweepDirectory:
    """Four points, of which the third failed and the fourth waits."""
    made = made_sweep(tmp_path / "sweep", GIVEN)
    for point in made.points[2:]:
        shutil.rmtree(made.run_path(point))
    made.fail(made.points[2], NASTY)
    return made


def text_of(page: str) -> list[str]:
    """The page's cells and paragraphs as they are read."""
    parts = re.findall(r"<(?:td|th|p|figcaption)[^>]*>(.*?)</(?:td|th|p|figcaption)>", page, re.DOTALL)
    return [unescape(re.sub(r"<[^>]*>", "", part.replace("<br>", " "))).strip() for part in parts]


def test_verdicts_are_told_in_words_with_points_and_reasons(sweep: SweepDirectory) -> None:
    doubt(sweep, 2, "latency", "the host had <no> CPU left")
    page = render_sweep_page(data_of(sweep))
    cells = text_of(page)
    assert "true in all 2" in cells
    assert cells[cells.index("latency") + 1 :][:2] == [
        "true in 1 of 2",
        "point 2: the host had <no> CPU left",
    ]
    assert page.index("the host had") < page.index("What varied") < page.index("<h2>Points</h2>")


def test_points_without_figures_are_told_with_their_sentence(sweep: SweepDirectory) -> None:
    page = render_sweep_page(data_of(sweep))
    cells = text_of(page)
    assert cells[cells.index("failed") + 1] == "point 3"
    assert cells[cells.index("waiting") + 1] == "point 4"
    assert unescape(page).count("document.title = 'broken'") > 0
    assert "</script><script>document" not in page


def test_its_table_has_the_figures_of_points_csv_and_leads_to_each_run(sweep: SweepDirectory) -> None:
    (sweep.run_path(sweep.points[1]) / PAGE).write_text("")
    data = data_of(sweep)
    page = render_sweep_page(data)
    row = data.rows[(data.rows["point"] == 2) & (data.rows["method"] == "recserve")].iloc[0]
    line = next(line for line in page.split("<tr>") if "points/0002/" in line and "recserve" in line)
    cells = [re.sub(r"<[^>]*>", "", cell).strip() for cell in line.split("<td>")[1:]]
    interval = f"[{row['accuracy_low']:.3f}, {row['accuracy_high']:.3f}]"
    assert cells[1:6] == ["0.1", "1%", "1", "recserve", f"{row['accuracy']:.3f} {interval}"]
    assert cells[6:8] == [f"{row['prompt_bytes'] / 1000:,.1f}", f"{row['burden_vs_cloud_only']:.3f}"]
    assert cells[9] == f"{row['latency_p50_ms']:.0f}"
    outside_script = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    links = set(re.findall(r'href="([^"]*)"', outside_script))
    assert links == {"points/0001/", "points/0002/", f"points/0002/{PAGE}", "points/0003/", "points/0004/"}
    assert "src=" not in outside_script


def test_a_sweep_of_which_nothing_is_finished_has_a_page_that_says_so(sweep: SweepDirectory) -> None:
    for point in sweep.points[:2]:
        shutil.rmtree(sweep.run_path(point))
    page = render_sweep_page(data_of(sweep))
    assert "No point has been run to its end yet: there is nothing to draw." in page
    assert "points 1, 2, 4" in text_of(page)
    assert '<div class="chart' not in page


def test_of_one_point_it_speaks_of_one(tmp_path: Path) -> None:
    made = made_sweep(tmp_path / "sweep", [])
    doubt(made, 1, "latency", "the host was busy")
    cells = text_of(render_sweep_page(data_of(made)))
    assert cells[0].startswith("Sweep of 1 point, run at")
    assert cells[cells.index("bytes") + 1] == "true"
    assert cells[cells.index("latency") + 1 :][:2] == ["false", "point 1: the host was busy"]


def test_bleu_has_one_decimal_as_everywhere(sweep: SweepDirectory) -> None:
    rows = sweep_table(sweep).rename(columns=lambda name: name.replace("accuracy", "bleu"))
    rows.loc[0, ["bleu", "bleu_low", "bleu_high"]] = [23.456, 20, 27.04]
    assert "23.5 [20.0, 27.0]" in render_sweep_page(SweepData(sweep.path, "quickstart", rows))


def test_a_long_table_is_cut_and_the_page_says_so_and_stays_small(sweep: SweepDirectory) -> None:
    rows = sweep_table(sweep)[:2]
    many = pd.concat([rows.assign(point=number, seed=number) for number in range(1, 1301)])
    page = render_sweep_page(SweepData(sweep.path, "quickstart", many))
    assert f"Shown are the first {MAX_ROWS:,} of 2,600 rows; points.csv has all." in page
    assert len(page.encode()) < 2_000_000


def test_figures_are_files_that_say_which_sweep_and_command_made_them(tmp_path: Path) -> None:
    sweep = made_sweep(tmp_path / "sweep", GIVEN[1:])
    doubt(sweep, 2, "latency", "the host was busy")
    subject = sweep_subject(data_of(sweep))
    write_figures(subject, 3.5, 8, ["pdf"])
    folder = sweep.path / FIGURES
    for figure in subject.figures:
        box = re.search(rb"/MediaBox \[0 0 ([0-9.]+) ", (folder / f"{figure.name}.pdf").read_bytes())
        assert box is not None
        assert float(box[1]) == pytest.approx(3.5 * 72, abs=4)
        assert (folder / f"{figure.name}.csv").read_text() == figure.data.to_csv(index=False)
    lines = dict(line.split(": ", 1) for line in (folder / MADE_BY).read_text().splitlines())
    assert list(lines) == [figure.name for figure in subject.figures]
    assert "sweep sweep of quickstart; testbed report sweep --figures" in lines["quality-over-core-loss"]
    assert lines["latency-p50-over-core-loss"].endswith("the verdict on latency does not hold at point 2.")
    assert set(FORMATS) == {"pdf", "svg", "png"}


@pytest.mark.slow  # needs a browser, which `make test` installs
def test_a_browser_draws_every_figure(sweep: SweepDirectory) -> None:
    data = data_of(sweep)
    drawn = drawn_by_browser(write_sweep_page(data), sweep_subject(data).figures)
    assert "<title>quickstart: a sweep" in drawn
