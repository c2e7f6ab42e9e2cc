"""What a run notes of itself before it starts is enough to run it again."""

from __future__ import annotations

import hashlib
from pathlib import Path

from rich.console import Console

from testbed.console import Reporter
from testbed.host.image import ImageRef
from testbed.orchestrator.manifest import Manifest
from testbed.orchestrator.prepare import Parts, inputs_of
from testbed.orchestrator.sources import Sources
from testbed.results.directory import RunDirectory
from testbed.scenario.scenario import load_scenario
from tests import ROOT, SCENARIOS

QUIET = Reporter(Console(quiet=True))


def test_it_says_which_files_the_run_was_made_of(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("class Mine: ...")
    scenario = load_scenario(
        SCENARIOS / "smoke.yaml", [f"methods.recserve.policy={tmp_path}/mine.py:Mine"], methods=["recserve"]
    )
    sources = Sources([scenario], QUIET).of(scenario, None)
    directory = RunDirectory.create(tmp_path / "run", scenario.name)
    Manifest(directory, "run7", inputs_of(scenario), Parts(ImageRef("tag", "id", 1), None, sources))
    code, *others = directory.read_json("manifest.json")["files"]
    assert (code["field"], len(code["sha256"])) == ("code", 64)
    assert others == [
        {
            "field": "methods.recserve.policy",
            "path": f"{tmp_path}/mine.py",
            "sha256": hashlib.sha256(b"class Mine: ...").hexdigest(),
            "bytes": 15,
            "files": 1,
        }
    ]


def test_a_run_leaves_its_scenario_as_it_was_asked_for(tmp_path: Path) -> None:
    """Where the host has fewer CPUs than the scenario, which the next run shall notice too."""
    scenario = load_scenario(
        SCENARIOS / "smoke.yaml", ["tiers.cloud.cpus=4096"], methods=["recserve"], seed=5
    )
    inputs = inputs_of(scenario)
    assert inputs.scenario.tier("cloud").cpus < 4096
    directory = RunDirectory.create(tmp_path / "run", scenario.name)
    Manifest(directory, "run7", inputs, Parts(ImageRef("tag", "id", 1), None))
    assert load_scenario(directory.path) == scenario
    head, *lines = (directory.path / "scenario.yaml").read_text().splitlines()
    assert head.startswith("# Run run7 of 2")
    assert "llm-testbed" in head
    (path,) = [line.partition("$schema=")[2] for line in lines if line.startswith("# yaml-language-server:")]
    assert (directory.path / path).resolve() == ROOT / "docs" / "scenario.schema.json"
    directory.seal()
    assert "scenario.yaml" in (directory.path / "SHA256SUMS").read_text()
