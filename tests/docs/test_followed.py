"""Pages that a reader follows to their end, followed in a clone: each file written, each command typed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests import ROOT
from tests.docs.pages import SHELL, blocks, typed, typed_together
from tests.docs.printed import facts

TUTORIAL = ROOT / "docs" / "TUTORIAL.md"
HOWTO = ROOT / "docs" / "howto"
FOLLOWED = (TUTORIAL, HOWTO / "policy.md", HOWTO / "model.md", HOWTO / "task.md")
"""Pages with a run of their own, which is made here."""
TUTORIAL_S = 600
"""Much longer than it takes, for a host that is busy with other tests."""

DPI = 300

Followed = tuple[Path, dict[str, CompletedProcess[str]]]
"""Where a page was followed, and by command what came of it."""

pytestmark = pytest.mark.docker


def cloned(folder: Path) -> Path:
    """A clone of what this checkout has committed, with its environment of Python packages."""
    settings = folder / "gitconfig"
    settings.write_text("[safe]\n\tdirectory = *\n")  # whoever owns the checkout
    clone = folder / "llm-testbed"
    subprocess.run(
        ["git", "clone", "--quiet", "--depth=1", f"file://{ROOT}", clone],
        env={**os.environ, "GIT_CONFIG_GLOBAL": str(settings)},
        check=True,
        timeout=120,
    )
    (clone / ".venv").symlink_to(ROOT / ".venv")
    return clone


def follow(page: Path, folder: Path) -> Followed:
    """Write a page's files into a clone, and type its commands there into one shell; each must succeed."""
    clone = cloned(folder)
    shown = list(blocks(clone / page.relative_to(ROOT)))
    for block in shown:
        if block.title is not None:
            (clone / block.title).write_text(block.text)
    commands = [
        command
        for block in shown
        if block.language in SHELL and block.note is None
        for command in block.commands
    ]
    done = {ran.args: ran for ran in typed_together(commands, clone, folder / "printed", TUTORIAL_S)}
    for command, ran in done.items():
        assert ran.returncode == 0, f"{command}\n{ran.stderr[-3000:]}"
    assert list(done) == commands
    return clone, done


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
    return follow(TUTORIAL, tmp_path_factory.mktemp("tutorial"))


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
    points = pq.read_table(folder / "results" / "beta" / "points.parquet").to_pylist()
    assert {row["status"] for row in points} == {"finished"}
    assert all(row["bytes_true"] and row["decisions_true"] and row["quality_true"] for row in points)
    first = faithful(folder / "results" / "first")
    assert all(first[claim] for claim in ("bytes", "decisions", "quality"))


def drawn(figures: Path) -> pd.DataFrame:
    """The points of a frontier, which the CSV beside it has, but those of the lot; it is 3.5 inches wide."""
    png = (figures / "frontier.png").read_bytes()
    assert png.startswith(b"\x89PNG")
    assert int.from_bytes(png[16:20]) == 3.5 * DPI
    points = pd.read_csv(figures / "frontier.csv", keep_default_na=False)
    return (
        points[points["by_lot"] == "False"] if points["by_lot"].dtype == object else points[~points["by_lot"]]
    )


def test_the_measured_figure_has_the_points_that_the_page_prints(tutorial: Followed) -> None:
    """Method and setting, bytes, burden and quality of each, to the digit."""
    folder, _ = tutorial
    printed = [row for row in shown_by("testbed sweep") if "burden [95 % CI]" in row]
    points = drawn(folder / "results" / "beta" / "figures")
    assert len(printed) == len(points) == 5
    found = {(row["method"], row["setting"]): row for row in points.to_dict("records")}
    for row in printed:
        point = found[row["method"], row["setting"]]
        assert row["prompt KB"] == f"{float(point['prompt_bytes']) / 1000:.1f}"
        assert row["burden [95 % CI]"].split()[0] == f"{float(point['burden_vs_cloud_only']):.3f}"
        quality, low, high = (float(point[key]) for key in ("quality", "quality_low", "quality_high"))
        assert row["accuracy [95 % CI]"] == f"{quality:.3f} [{low:.3f}, {high:.3f}]"


def test_the_predicted_figure_goes_through_what_the_page_prints_at_equal_bytes(tutorial: Followed) -> None:
    folder, _ = tutorial
    printed = [row for row in shown_by("testbed what-if scenarios/") if "accuracy at 20% [95 % CI]" in row]
    points = drawn(folder / "results" / "frontier")
    for method in ("recserve", "colserve"):
        (row,) = [row for row in printed if row["method"] == method]
        curve = points[points["method"] == method].astype({"burden_vs_cloud_only": float, "quality": float})
        curve = curve.sort_values("burden_vs_cloud_only")
        assert len(curve) == 10
        for percent in (10, 20, 40):
            between = np.interp(percent / 100, curve["burden_vs_cloud_only"], curve["quality"])
            assert row[f"accuracy at {percent}% [95 % CI]"].split()[0] == f"{between:.3f}"


def shown_by(beginning: str) -> list[dict[str, str]]:
    """What the tutorial shows of the command that begins so."""
    console = [block for block in blocks(TUTORIAL) if block.language == "console"]
    (block,) = [block for block in console if block.commands[0].startswith(beginning)]
    return facts(block.text)


@pytest.mark.parametrize("page", FOLLOWED[1:], ids=lambda page: page.stem)
def test_a_how_to_is_followed_to_its_end(page: Path, tmp_path: Path) -> None:
    clone, _ = follow(page, tmp_path)
    (run,) = (clone / "results").iterdir()
    verdicts = faithful(run)
    assert verdicts["bytes"]
    assert verdicts["quality"]
    assert verdicts["decisions"] == (page.stem != "policy")  # the audit has no rule for a class from outside
    assert all(figures["answered"] == figures["requests"] for figures in methods(run).values())
