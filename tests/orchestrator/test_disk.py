"""What runs need of the disk, against what a real one took, and against what a disk has free."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from testbed.errors import TestbedError
from testbed.orchestrator.disk import ROW_BYTES, RUN_BYTES, Disk, expected_disk, require_disk
from testbed.results.directory import RunDirectory
from testbed.scenario.scenario import Scenario, load_scenario
from tests import ROOT, SCENARIOS

MANY = "trace.requests=1000"
V1 = RunDirectory.open(ROOT / "tests" / "data" / "run-v1")


def captures_mb(*overrides: str, methods: str = "cloud-only", name: str = "smoke") -> float:
    """What captures that are kept take beyond those that are discarded."""
    kept, gone = (
        expected_disk(
            [load_scenario(SCENARIOS / f"{name}.yaml", [*overrides, f"captures={how}"], methods=[methods])]
        ).kept_bytes
        for how in ("keep", "discard")
    )
    return (kept - gone) / 1e6


def test_a_real_runs_captures_are_as_large_as_expected() -> None:
    scenario = Scenario.model_validate(V1.read_json("manifest.json")["scenario"])
    for method in scenario.methods:
        alone = scenario.model_copy(update={"methods": (method,)})
        without = alone.model_copy(update={"captures": "discard"})
        expected = expected_disk([alone]).kept_bytes - expected_disk([without]).kept_bytes
        taken = sum(path.stat().st_size for path in (V1.path / "captures" / method.name).iterdir())
        assert expected == pytest.approx(taken, rel=0.3)


def test_each_hop_costs_and_shares_that_are_asked_for_count() -> None:
    both = captures_mb(MANY)
    assert captures_mb(MANY, "methods=[{name: edge-only}]", methods="edge-only") == pytest.approx(both / 2)
    assert captures_mb(MANY, "methods=[{name: device-only}]", methods="device-only") == 0
    recserve = captures_mb(MANY, "methods.recserve.beta=0.3", methods="recserve")
    assert recserve == pytest.approx(both / 2 * (0.3 + 0.09))
    relayed = captures_mb(MANY, "methods.recserve.relay=[device]", methods="recserve")
    assert relayed == pytest.approx(both / 2 * (1 + 0.3))
    unknown = "methods=[{name: casserve, thresholds: {device: 0.8, edge: 0.8}}]"
    assert captures_mb(MANY, unknown, methods="casserve") == pytest.approx(both)


def test_requests_that_reach_an_engine_are_captured_behind_it_too() -> None:
    plain = "tiers.cloud.model=embedded/cloud"
    for methods, reaching in (("cloud-only", 1.0), ("recserve", 0.09)):
        behind = captures_mb(MANY, methods=methods, name="engine") - captures_mb(
            MANY, plain, methods=methods, name="engine"
        )
        assert behind == pytest.approx(reaching * 2.4, rel=0.1)
    assert captures_mb(MANY, "methods=[{name: device-only}]", methods="device-only", name="engine") == 0


def test_background_flows_are_captured_too() -> None:
    flow = "events=[{at: 1s, flow: {from: device1, to: edge1, rate: 8mbit}, for: 10s}]"
    assert captures_mb(flow) - captures_mb() == pytest.approx(10, rel=0.2)


def test_compressed_captures_need_room_for_one_method_as_it_was_captured() -> None:
    kept, packed, gone = (
        expected_disk([load_scenario(SCENARIOS / "smoke.yaml", [f"captures={how}"], requests=10_000)])
        for how in ("keep", "compress", "discard")
    )
    again_bytes = ROW_BYTES * 10_000 * 2  # the tables of two methods, written again when the disk is full
    assert kept.peak_bytes == kept.kept_bytes + again_bytes
    assert kept.kept_bytes > packed.peak_bytes - again_bytes > packed.kept_bytes > gone.kept_bytes
    assert packed.peak_bytes >= gone.peak_bytes > gone.kept_bytes
    assert str(gone) == "about 14 MB of disk, 45 MB in between"
    assert str(Disk(3.44e9, 3.5e9)) == "about 3.4 GB of disk"


def test_runs_that_follow_on_one_another_add_up() -> None:
    smoke = load_scenario(SCENARIOS / "smoke.yaml", ["captures=compress"], requests=1000)
    one, ten = expected_disk([smoke]), expected_disk([smoke] * 10)
    assert ten.kept_bytes == pytest.approx(10 * one.kept_bytes)
    assert ten.peak_bytes - 9 * one.kept_bytes == pytest.approx(one.peak_bytes)
    assert expected_disk([]) == Disk(0, 0)
    assert one.kept_bytes > RUN_BYTES


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_what_does_not_fit_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def usage(path: Path) -> Usage:
        asked.append(path)
        return Usage(10**12, 10**12, 300_000)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with pytest.raises(TestbedError) as told:
        require_disk(tmp_path / "not" / "yet", [load_scenario(SCENARIOS / "smoke.yaml")])
    assert asked == [tmp_path]
    assert str(told.value) == (
        f"--out: {tmp_path}/not/yet needs about 2.1 MB, and its disk has 0.3 MB free; make room, name a "
        "directory elsewhere, or give --set captures=compress (or discard)"
    )
