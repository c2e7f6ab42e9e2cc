"""What commands say first of a run that ended early, and that they fail for it after all else."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from testbed.cli import audit, packets
from testbed.commands.reports import report
from testbed.commands.study import compare, merge, plan, what_if
from testbed.errors import TestbedError
from testbed.report.export import MADE_BY
from testbed.results.audit import CUT_OFF
from testbed.results.columns import TABLES, Row
from testbed.results.directory import RunDirectory
from testbed.results.run import Run
from testbed.results.seals import FIGURES, PAGE, SUMS
from testbed.results.summary import summarise
from testbed.study.sweep.directory import SweepDirectory
from tests import SCENARIOS
from tests.study.sweep.made import RUN, made_sweep

BEGUN = 9
SAID = (
    "the run was ended early: failed (the container of edge1 has ended); recserve was broken off after 9 of "
    "12 requests"
)


@pytest.fixture
def ended(tmp_path: Path) -> RunDirectory:
    """A run that failed under recserve, after nine requests, of which the last was under way."""
    directory = RunDirectory(Path(shutil.copytree(RUN, tmp_path / "run")))
    scenario = Run(directory).scenario
    rows = directory.read_table("requests.parquet")
    others = [row for row in rows if row["method"] != "recserve"]
    asked = [row for row in rows if row["method"] == "recserve"]
    begun, never_asked = asked[:BEGUN], asked[BEGUN:]
    begun[-1] |= {"outcome": CUT_OFF, "answer": None, "tier": None, "correct": False}
    write_table(directory, "requests.parquet", [*others, *begun])
    faithful = Run(directory).summary["faithful"]
    links, tiers = (directory.read_table(f"{name}.parquet") for name in ("links", "tiers"))
    for row in links:
        if row["method"] == "recserve":
            row["unattributed_bytes"] += text_bytes(never_asked, row["link"], row["direction"])
    write_table(directory, "links.parquet", links)
    summary = summarise(scenario, [*others, *begun], links, faithful, tiers)
    directory.write_json("summary.json", summary)
    manifest = directory.read_json("manifest.json")
    manifest |= {
        "status": "failed",
        "ended_by": "the container of edge1 has ended",
        "started_ns": {method.name: 0 for method in scenario.methods},
        "broken_off": [{"method": "recserve", "begun": BEGUN, "requests": 12, "lost": []}],
    }
    directory.write_json("manifest.json", manifest)
    directory.seal()
    return directory


def write_table(directory: RunDirectory, name: str, rows: Sequence[Row]) -> None:
    """Write a table anew, with the columns that it had: a run of an older version has no others."""
    directory.write_table(name, rows, pa.schema([TABLES[name].field(one) for one in directory.columns(name)]))


def text_bytes(rows: Sequence[Row], link: str, direction: str) -> int:
    """The bytes of prompts or answers of these requests on a link."""
    column = "hop_prompt_bytes" if direction == "up" else "hop_answer_bytes"
    return sum(row[column][row["hops"].index(link)] for row in rows if link in row["hops"])


def compared(run: Path) -> None:
    compare([run])


def planned(run: Path) -> None:
    plan(SCENARIOS / "smoke.yaml", pilot=run)


def shown(run: Path) -> None:
    packets(run, "recserve", "edge1-cloud1", limit=1)


@pytest.mark.parametrize("command", [report, audit, compared, shown])
def test_what_ended_it_stands_first_and_the_command_fails(
    command: Callable[[Path], None], ended: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TestbedError, match="the run ended early: what is printed above was measured until"):
        command(ended.path)
    first, *others = capsys.readouterr().out.splitlines()
    assert first == f"{ended.path}: {SAID}"
    assert others


def test_so_it_does_on_the_page_and_beside_figures(
    ended: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TestbedError, match="the run ended early"):
        report(ended.path, page=True, figures=True, width=4.0)
    assert capsys.readouterr().out.startswith(f"{ended.path}: {SAID}")
    page = (ended.path / PAGE).read_text()
    assert page.index(f'<p class="false">{SAID}.') < page.index("<h2>")
    assert (ended.path / FIGURES / MADE_BY).read_text().startswith(SAID)


def test_a_pilot_that_ended_early_is_told_before_it_is_planned_by(
    ended: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TestbedError, match="too few to plan by"):
        planned(ended.path)
    assert capsys.readouterr().out.startswith(f"{ended.path}: {SAID}")


def test_the_audit_holds_what_was_decided_against_the_rules(
    ended: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TestbedError, match="ended early"):
        audit(ended.path)
    assert "decisions audited, no difference" in capsys.readouterr().out
    manifest = ended.read_json("manifest.json")
    ended.write_json("manifest.json", manifest | {"status": "finished"})
    ended.seal()
    with pytest.raises(TestbedError, match="1 difference in"):
        audit(ended.path)
    assert "recserve: 3 of 12 requests have no row" in capsys.readouterr().out


def test_queues_are_predicted_of_no_run_so_that_none_is_left_unsaid(ended: RunDirectory) -> None:
    with pytest.raises(TestbedError, match="--queues: is for scenario; leave it out"):
        what_if([ended.path], queues=True)
    with pytest.raises(TestbedError, match="--against: is not for --queues"):
        what_if([SCENARIOS / "city.yaml"], queues=True, against=ended.path)


@pytest.fixture
def sweep(tmp_path: Path, ended: RunDirectory) -> SweepDirectory:
    """A sweep of which one point failed, one ended early, one was not begun, and two are whole."""
    made = made_sweep(tmp_path / "sweep", ["methods.recserve.beta=0.1,0.2,0.3,0.4,0.5"])
    paths = [made.run_path(point) for point in made.points]
    for path in paths[:3]:
        shutil.rmtree(path)
    made.fail(made.points[0], "no room")
    shutil.copytree(ended.path, paths[1])
    return made


def test_of_a_sweep_compare_says_first_which_points_failed_or_wait_and_fails(
    sweep: SweepDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TestbedError, match="1 of 5 points failed, the first because: no room"):
        compare([sweep.path])
    failed, early, waiting, *others = capsys.readouterr().out.splitlines()
    assert failed == f"{sweep.path}: failed: point 1: no room"
    assert {early, waiting} == {
        f"{sweep.path}: waiting: point 2: {SAID}",
        f"{sweep.path}: waiting: point 3",
    }
    assert any("cloud-only" in line for line in others)
    sweep.begin(sweep.points[0])
    with pytest.raises(TestbedError, match="1 of 5 points ended early, the first because: the run was ended"):
        compare([sweep.path])


def test_points_that_nobody_began_yet_are_told_first_and_are_no_failure(
    sweep: SweepDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    for point in sweep.points[:2]:
        sweep.begin(point)
    compare([sweep.path])
    assert capsys.readouterr().out.splitlines()[0] == f"{sweep.path}: waiting: points 1 to 3"


def test_merge_says_first_what_ended_early_in_a_shard_and_fails(
    sweep: SweepDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TestbedError, match="1 of 5 points failed, the first because: no room"):
        merge([sweep.path], tmp_path / "all")
    first, *_ = capsys.readouterr().out.splitlines()
    assert first == f"{sweep.run_path(sweep.points[1])}: {SAID}"
    sweep.begin(sweep.points[0])
    with pytest.raises(TestbedError, match=f"1 of 5 points ended early, the first because: .*: {SAID[:20]}"):
        merge([sweep.path], tmp_path / "again")
    sweep.begin(sweep.points[1])
    merge([sweep.path], tmp_path / "once more")


@pytest.mark.parametrize("command", [report, audit, compared, shown])
def test_of_a_run_that_was_killed_it_says_that_nothing_was_judged(
    command: Callable[[Path], None], ended: RunDirectory
) -> None:
    for name in (SUMS, "fidelity.json", "summary.json", "requests.parquet", "links.parquet"):
        (ended.path / name).unlink()
    ended.write_json("manifest.json", ended.read_json("manifest.json") | {"status": "running"})
    with pytest.raises(TestbedError, match="so it goes on or its process was killed; nothing of it was"):
        command(ended.path)
    ended.write_json("manifest.json", ended.read_json("manifest.json") | {"status": "finished"})
    with pytest.raises(TestbedError, match="not judged to the end: its process was killed meanwhile"):
        command(ended.path)


def test_an_audit_of_no_decision_says_so_and_fails(
    ended: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    write_table(ended, "requests.parquet", [])
    write_table(ended, "links.parquet", [])
    write_table(ended, "tiers.parquet", [])
    ended.write_json("summary.json", ended.read_json("summary.json") | {"methods": {}})
    ended.seal()
    with pytest.raises(TestbedError, match="no decision was recorded, so that there was none to audit"):
        audit(ended.path)
    assert "no difference" not in capsys.readouterr().out
