"""The page of a run: whole in one file, true to its tables, and drawn by a real browser."""

from __future__ import annotations

import json
import re
import shutil
from html import unescape
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from testbed.errors import TestbedError
from testbed.report.export import FORMATS, MADE_BY, write_figures
from testbed.report.figures.run_figures import run_figures, run_subject
from testbed.report.run_page import DRAWN, SLOWEST, _nodes, render_run_page, shown_requests, write_run_page
from testbed.results.run import Run, load_run
from testbed.results.seals import FIGURES, PAGE
from tests import ROOT
from tests.report.browser import drawn_by_browser

TIME_COLUMNS = ("queue_ms", "inference_ms", "own_ms")
NASTY = "</script><script>document.title = 'broken'</script><img src=x onerror=alert(1)>\u2028"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return load_run(shutil.copytree(ROOT / "tests" / "data" / "run-v1", tmp_path / "run"))


def change(run: Run, column: str, value: Any) -> Run:
    """The run with another value in a column of every request."""
    path = run.path / "requests.parquet"
    table = pq.read_table(path)
    at = table.column_names.index(column)
    changed = pa.array([value] * len(table), table.schema.field(column).type)
    pq.write_table(table.set_column(at, table.schema.field(column), changed), path)
    return load_run(run.path)


def test_it_needs_nothing_beside_itself(run: Run) -> None:
    page = render_run_page(run)
    outside_script = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"(src|href)=", outside_script)
    assert "default-src 'none'" in page
    assert len(page.encode()) < 2 << 20


def test_its_table_has_the_figures_of_the_summary(run: Run) -> None:
    page = render_run_page(run)
    for method, figures in run.summary["methods"].items():
        low, high = figures["accuracy_ci"]
        row = next(
            line for line in re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL) if f"<td>{method}</td>" in line
        )
        cells = [unescape(cell).strip() for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)]
        assert cells[1] == f"{figures['accuracy']:.3f} [{low:.3f}, {high:.3f}]"
        assert cells[2] == "/".join(str(count) for count in figures["served_by"].values())
        assert cells[4:7] == [
            f"{figures['prompt_bytes'] / 1000:,.1f}",
            f"{figures['frame_bytes'] / 1000:,.1f}",
            f"{figures['burden_vs_cloud_only']:.3f}",
        ]


def test_theory_stands_beside_measurement_as_in_the_terminal(run: Run) -> None:
    page = render_run_page(run)
    rows = [
        [unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", line)]
        for line in re.findall(r"<tr>(.*?)</tr>", page[page.index("prompts on each hop") :], re.DOTALL)
    ]
    assert ["recserve", "device", "0.500 / 0.372 / 0.583", "n/a / 0.8", "n/a"] in rows
    assert ["recserve", "edge", "0.250 / 0.127 / 0.167", "n/a / 0.2", "n/a"] in rows
    assert page.index("does recursion pay") < page.index("<h2>Quality against burden</h2>")


def test_no_text_of_an_answer_becomes_part_of_the_page(run: Run) -> None:
    page = render_run_page(change(run, "answer", NASTY))
    assert "document.title = 'broken'" in page
    assert "</script><script>document" not in page
    assert "\u2028" not in page


def test_a_skipped_node_stands_on_the_way_with_the_link_above_it(run: Run) -> None:
    rows = run.requests[run.requests["method"] == "cloud-only"]
    (at,) = rows.index[rows["request_id"] == "r000004"]
    row = rows.loc[at].to_dict()
    top = len(row["path"]) - 1
    for column in ("path", "confidences", "thresholds", "kept", "node_answers", *TIME_COLUMNS):
        row[column] = [row[column][0], row[column][top]]
    row |= {"skipped": ["unreachable", None], "hop_up_ms": [None, None], "hop_down_ms": [None, None]}
    device, edge, cloud = _nodes(row, run.scenario.topology)
    assert [line[0] for line in (device, edge, cloud)] == ["device1", "edge1", "cloud1"]
    assert [line[-2:] for line in (device, edge, cloud)] == [
        *([list(sizes) for sizes in zip(row["hop_prompt_bytes"], row["hop_answer_bytes"], strict=True)]),
        [None, None],
    ]
    assert edge[1:-2] == [None] * 9


def test_verdicts_come_first_with_what_speaks_against_them(run: Run) -> None:
    run.fidelity["reasons"]["latency"] = ["the host had <no> CPU left"]
    run.summary["faithful"]["latency"] = False
    page = render_run_page(run)
    assert page.index("the host had &lt;no&gt; CPU left") < page.index("<h2>Methods</h2>")
    assert "Drawn in grey: the verdict on latency is false" in page
    assert '<td class="void">n/v</td>' in page


def test_of_many_requests_it_shows_the_slowest_and_some_drawn_by_seed(run: Run) -> None:
    names = [f"r{number:04}" for number in range(1000)]
    latencies_ms = {name: float(number) for number, name in enumerate(names)}
    shown = shown_requests(latencies_ms, seed=1)
    assert shown[:SLOWEST] == names[: -SLOWEST - 1 : -1]
    assert len(set(shown)) == SLOWEST + DRAWN
    assert shown == shown_requests(latencies_ms, seed=1) != shown_requests(latencies_ms, seed=2)
    assert sorted(shown_requests(dict.fromkeys(names[:10], 1.0), seed=1)) == names[:10]


def test_a_page_or_figures_that_cannot_be_written_are_told_in_one_sentence(run: Run) -> None:
    (run.path / PAGE).mkdir()
    (run.path / FIGURES).write_text("")
    with pytest.raises(TestbedError, match=r"report\.html: cannot be written \(Is a directory\)"):
        write_run_page(run)
    with pytest.raises(TestbedError, match=r"figures: cannot be written \(File exists\)"):
        write_figures(run_subject(run), 3.5, 8)


def test_a_run_that_was_broken_off_has_a_page_that_says_so(run: Run) -> None:
    manifest, summary = ({**getattr(run, name)} for name in ("manifest", "summary"))
    manifest |= {"status": "interrupted", "broken_off": []}
    summary["methods"] = {}
    for name, content in (("manifest", manifest), ("summary", summary)):
        (run.path / f"{name}.json").write_text(json.dumps(content))
    for table in ("requests", "links", "tiers"):
        path = run.path / f"{table}.parquet"
        pq.write_table(pq.read_table(path).slice(0, 0), path)
    page = render_run_page(load_run(run.path))
    assert (
        '<p class="false">the run was ended early: interrupted; not replayed: cloud-only, recserve.' in page
    )
    assert '<div class="chart' not in page


def test_page_and_figures_leave_the_seal_whole(run: Run) -> None:
    assert run.broken_seals() == []
    assert write_run_page(run) == run.path / PAGE
    written = write_figures(run_subject(run), 3.5, 8)
    assert run.broken_seals() == []
    names = [figure.name for figure in run_figures(run)]
    assert sorted(path.name for path in written) == sorted(
        [*(f"{name}.{suffix}" for name in names for suffix in (*FORMATS, "csv")), MADE_BY]
    )


def test_a_figure_is_as_wide_as_a_papers_column_and_says_what_made_it(run: Run) -> None:
    write_figures(run_subject(run), 3.5, 8, ["pdf"])
    folder = run.path / FIGURES
    for figure in run_figures(run):
        box = re.search(rb"/MediaBox \[0 0 ([0-9.]+) ", (folder / f"{figure.name}.pdf").read_bytes())
        assert box is not None
        assert float(box[1]) == pytest.approx(3.5 * 72, abs=4)
        assert (folder / f"{figure.name}.csv").read_text() == figure.data.to_csv(index=False)
    made_by = (folder / MADE_BY).read_text().splitlines()
    assert len(made_by) == len(run_figures(run))
    assert all(run.manifest["run_id"] in line and "testbed report" in line for line in made_by)


@pytest.mark.slow  # needs a browser, which `make test` installs
def test_a_browser_draws_every_figure_and_a_requests_way(run: Run) -> None:
    drawn = drawn_by_browser(write_run_page(change(run, "answer", NASTY)), run_figures(run))
    assert "<title>run-v1" in drawn
    first = re.search(r'<div id="way".*?</table>', drawn, re.DOTALL)
    assert first is not None
    assert "kept" in first[0]
    assert "cloud1" in first[0]
