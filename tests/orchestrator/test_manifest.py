"""What a run notes of itself before it starts is enough to run it again."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import pytest
from rich.console import Console

from testbed.console import Reporter
from testbed.host.image import ImageRef
from testbed.orchestrator.conclude import Measured
from testbed.orchestrator.held import HeldNetwork
from testbed.orchestrator.manifest import Manifest
from testbed.orchestrator.prepare import Inputs, Parts, inputs_of
from testbed.orchestrator.reserve import Reserve
from testbed.orchestrator.run import concluded
from testbed.orchestrator.sources import Sources
from testbed.results.directory import RunDirectory
from testbed.scenario.scenario import RESOLVED, Scenario, load_scenario
from tests import ROOT, SCENARIOS

QUIET = Reporter(Console(quiet=True))


def test_it_says_which_files_the_run_was_made_of(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("class Mine: ...")
    scenario = load_scenario(
        SCENARIOS / "smoke.yaml", [f"methods.recserve.policy={tmp_path}/mine.py:Mine"], methods=["recserve"]
    )
    sources = Sources([scenario], QUIET).of(scenario, None)
    directory = RunDirectory.create(tmp_path / "run", scenario.name)
    Manifest(directory, "run7", inputs_of(scenario), Parts(ImageRef("tag", "id", 1), None, sources)).begin()
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
    Manifest(directory, "run7", inputs, Parts(ImageRef("tag", "id", 1), None)).begin()
    assert load_scenario(directory.path) == scenario
    head, *lines = (directory.path / "scenario.yaml").read_text().splitlines()
    assert head.startswith("# Run run7 of 2")
    assert "llm-testbed" in head
    (path,) = [line.partition("$schema=")[2] for line in lines if line.startswith("# yaml-language-server:")]
    assert (directory.path / path).resolve() == ROOT / "docs" / "scenario.schema.json"
    directory.seal()
    assert "scenario.yaml" in (directory.path / "SHA256SUMS").read_text()


@pytest.fixture
def smoke() -> Scenario:
    return load_scenario(SCENARIOS / "smoke.yaml", methods=["recserve"])


def made(directory: RunDirectory, scenario: Scenario) -> tuple[HeldNetwork, Manifest, Inputs]:
    inputs = inputs_of(scenario)
    manifest = Manifest(directory, "run7", inputs, Parts(ImageRef("tag", "id", 1), None))
    return HeldNetwork([scenario], QUIET), manifest, inputs


def test_nothing_says_that_a_run_goes_on_before_its_end_is_sure_to_be_written(
    tmp_path: Path, smoke: Scenario
) -> None:
    directory = RunDirectory.create(tmp_path / "run", smoke.name)
    network, manifest, inputs = made(directory, smoke)
    assert [path.name for path in directory.path.iterdir()] == ["captures"], "SIGINT may come here"
    statuses = []

    def interrupted() -> None:
        with concluded(network, manifest, inputs, Measured(), Reserve(directory.path, 1 << 16)):
            statuses.append(directory.read_manifest()["status"])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [*statuses, directory.read_manifest()["status"]] == ["running", "interrupted"]
    assert load_scenario(directory.path) == smoke
    assert directory.broken_seals() == []


@pytest.mark.root
def test_a_run_whose_scenario_finds_no_room_on_the_disk_has_failed(small_disk: Path, smoke: Scenario) -> None:
    directory = RunDirectory.create(small_disk / "run", smoke.name)
    network, manifest, inputs = made(directory, smoke)
    reserve = Reserve(directory.path, 1 << 20)
    with reserve, (small_disk / "others").open("wb", buffering=0) as others, suppress(OSError):
        while True:
            others.write(bytes(4096))
    # What the reserve takes is all that is left.
    reserve.close()
    again = Reserve(directory.path, 1 << 20)
    with (
        pytest.raises(OSError, match="No space left"),
        concluded(network, manifest, inputs, Measured(), again),
    ):
        pass
    found = directory.read_manifest()
    assert found["status"] == "failed"
    assert "no space left" in found["ended_by"]
    assert not (directory.path / RESOLVED).exists()
    assert directory.broken_seals() == []
