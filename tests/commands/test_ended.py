"""What commands say first of a run that ended early, and that they fail for it after all else."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from testbed.cli import audit, packets
from testbed.commands.reports import report
from testbed.commands.study import compare, plan
from testbed.errors import TestbedError
from testbed.report.export import MADE_BY
from testbed.results.audit import CUT_OFF
from testbed.results.columns import TABLES, Row
from testbed.results.directory import RunDirectory
from testbed.results.run import Run
from testbed.results.seals import FIGURES, PAGE, SUMS
from testbed.results.summary import summarise
from tests import SCENARIOS
from tests.study.sweep.made import RUN

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
