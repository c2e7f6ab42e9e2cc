"""The contracts between the rooms hold, and each of them notices when it is broken."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

LAYERS = "Rooms in the order of the data"
VALIDATES = "Nobody but the command line validates"
SECOND = "The second reader of captures shares no code with the first"
CIRCLE = "No circle between neighbours, at any depth"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project's code and its contracts, to be broken."""
    for package in ("testbed", "tiers"):
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("weights", "__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def broken_contracts(root: Path) -> tuple[int, set[str]]:
    """The exit status of import-linter, and the contracts that it says are broken."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = done.stdout.splitlines()
    broken = {line.removesuffix(" BROKEN") for line in lines if line.endswith(" BROKEN")}
    assert broken or done.returncode == 0, done.stdout + done.stderr
    return done.returncode, broken


def test_the_contracts_hold(copy: Path) -> None:
    assert broken_contracts(copy) == (0, set())


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("testbed/wire/frame.py", "import testbed.orchestrator.run", LAYERS),
        ("testbed/wire/frame.py", "import testbed.results.columns", LAYERS),
        ("testbed/scenario/topology.py", "import testbed.network.network", LAYERS),
        ("testbed/host/facts.py", "from testbed.scenario.topology import Shape", LAYERS),
        ("testbed/scenario/reading/units.py", "import testbed.scenario.sections.links", CIRCLE),
        ("tiers/window.py", "import testbed.errors", "A tier runs alone"),
        ("testbed/results/audit.py", "import tiers.policies", "These see what tiers did, never into them"),
        ("testbed/orchestrator/run.py", "import testbed.study.record", LAYERS),
        ("testbed/wire/recount.py", "import testbed.wire.texts", SECOND),
        (
            "testbed/validation/times.py",
            "import testbed.report.tables",
            "Nobody but the command line validates",
        ),
    ],
)
def test_a_broken_contract_is_noticed(copy: Path, file: str, line: str, contract: str) -> None:
    path = copy / file
    path.write_text(f"{path.read_text()}\n{line}\n")
    status, broken = broken_contracts(copy)
    assert status == 1
    assert contract in broken


def test_an_import_for_type_checking_alone_counts(copy: Path) -> None:
    path = copy / "testbed" / "scenario" / "topology.py"
    imports = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import testbed.scenario.scenario\n"
    path.write_text(f"{path.read_text()}\n{imports}")
    assert CIRCLE in broken_contracts(copy)[1]


def test_a_new_module_at_the_top_must_be_given_its_place(copy: Path) -> None:
    (copy / "testbed" / "stray.py").write_text("")
    assert broken_contracts(copy) == (1, {LAYERS})
