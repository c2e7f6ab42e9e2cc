"""Pages that a reader follows from top to bottom, followed: each file written, each command typed."""

from __future__ import annotations

import json
import time
from pathlib import Path
from subprocess import CompletedProcess

import pyarrow.parquet as pq
import pytest

from tests import ROOT
from tests.docs.pages import SHELL, blocks, typed
from tests.docs.printed import facts

TUTORIAL = ROOT / "docs" / "TUTORIAL.md"
HOWTO = ROOT / "docs" / "howto"
FOLLOWED = (TUTORIAL, HOWTO / "policy.md", HOWTO / "model.md", HOWTO / "task.md")
"""Pages with a run of their own, which is made here."""
TUTORIAL_S = 600
"""Much longer than it takes, for a host that is busy with other tests."""

Followed = tuple[Path, dict[str, CompletedProcess[str]]]
"""Where a page was followed, and by command what came of it."""

pytestmark = pytest.mark.docker


def prepare(page: Path, folder: Path) -> None:
    """What a checkout has beside the files that the page's blocks hold."""
    for name in ("scenarios", "traces", "docs", ".venv"):
        (folder / name).symlink_to(ROOT / name)
    for block in blocks(page):
        if block.title is not None:
            (folder / block.title).write_text(block.text)


def follow(page: Path, folder: Path) -> dict[str, CompletedProcess[str]]:
    """Type a page's commands; each must succeed. By command, what came of it."""
    prepare(page, folder)
    done: dict[str, CompletedProcess[str]] = {}
    for block in blocks(page):
        if block.language in SHELL and block.note is None:
            for command in block.commands:
                done[command] = typed(command, folder)
                assert done[command].returncode == 0, f"{block}: {command}\n{done[command].stderr[-3000:]}"
    return done


def methods(run: Path) -> dict[str, dict[str, object]]:
    """The figures of a run by method."""
    summary: dict[str, dict[str, dict[str, object]]] = json.loads((run / "summary.json").read_text())
    return summary["methods"]


def faithful(run: Path) -> dict[str, bool]:
    """The verdicts of a run."""
    verdicts: dict[str, bool] = json.loads((run / "fidelity.json").read_text())["faithful"]
    return verdicts


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Followed:
    folder = tmp_path_factory.mktemp("clone")
    started = time.monotonic()
    done = follow(TUTORIAL, folder)
    assert time.monotonic() - started < TUTORIAL_S
    return folder, done


def test_the_tutorials_commands_print_what_the_page_shows(tutorial: Followed) -> None:
    _, done = tutorial
    shown = [block for block in blocks(TUTORIAL) if block.language == "console"]
    assert len(shown) >= 4
    for block in shown:
        (command,) = block.commands
        kept = facts("\n".join(block.text.splitlines()[1:]))
        printed = facts(done[command].stdout)
        assert kept, f"{block} shows nothing that is the same in each run"
        assert [fact for fact in kept if fact not in printed] == [], f"{block}\n{done[command].stdout}"


def test_what_if_is_held_against_the_tutorials_run(tutorial: Followed) -> None:
    folder, done = tutorial
    beside = typed("testbed what-if mine.yaml --against results/first", folder)
    for said in (done["testbed what-if results/first"], beside):
        assert said.returncode == 0, said.stderr
        measured = [row for row in facts(said.stdout) if "measured" in row.values()]
        predicted = [row for row in facts(said.stdout) if "predicted" in row.values()]
        assert len(measured) == len(predicted) == 3
        for expected, found in zip(predicted, measured, strict=True):
            figures = [name for name in found if "bytes" in name or "served" in name]
            assert figures
            assert {name: expected[name] for name in figures} == {name: found[name] for name in figures}


def test_the_tutorials_run_is_a_pilot_to_plan_by(tutorial: Followed) -> None:
    folder, _ = tutorial
    planned = typed("testbed plan mine.yaml --pilot results/first --latency 20", folder)
    assert planned.returncode == 0, planned.stderr
    assert "cloud-only, recserve: " in planned.stdout


def test_the_tutorials_frontier_is_drawn_from_points_that_may_be_believed(
    tutorial: Followed,
) -> None:
    folder, _ = tutorial
    (drawn,) = (folder / "results" / "beta" / "figures").glob("*frontier*.png")
    assert drawn.read_bytes().startswith(b"\x89PNG")
    points = pq.read_table(folder / "results" / "beta" / "points.parquet").to_pylist()
    assert {row["status"] for row in points} == {"finished"}
    assert all(row["bytes_true"] and row["decisions_true"] and row["quality_true"] for row in points)
    first = faithful(folder / "results" / "first")
    assert all(first[claim] for claim in ("bytes", "decisions", "quality"))


@pytest.mark.parametrize("page", FOLLOWED[1:], ids=lambda page: page.stem)
def test_a_how_to_is_followed_to_its_end(page: Path, tmp_path: Path) -> None:
    follow(page, tmp_path)
    (run,) = (tmp_path / "results").iterdir()
    verdicts = faithful(run)
    assert verdicts["bytes"]
    assert verdicts["quality"]
    assert verdicts["decisions"] == (page.stem != "policy")  # the audit has no rule for a class from outside
    assert all(figures["answered"] == figures["requests"] for figures in methods(run).values())
