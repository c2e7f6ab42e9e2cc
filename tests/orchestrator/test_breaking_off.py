"""What is kept of a method that is broken off on real links with real servers, and how it is judged."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.host.processes.signals import Terminated, terminable
from testbed.orchestrator.breaking_off import BREAKS, BreakingOff
from testbed.orchestrator.bring_up import network_alive
from testbed.orchestrator.conclude import Measured, conclude
from testbed.orchestrator.method import MethodResult, run_method
from testbed.orchestrator.reserve import Reserve
from testbed.orchestrator.session import Session
from testbed.results.audit import CUT_OFF, audit_run
from testbed.results.columns import SCHEMA_VERSION
from testbed.results.directory import RunDirectory
from testbed.results.ended import ended_early, told
from tests.orchestrator.emulation import emulated, scenario_of
from tests.orchestrator.test_method import TEXT, at, no_progress, quiet_reporter

pytestmark = pytest.mark.root
SLOW = TEXT.replace("service: 2ms", "service: 100ms")
"""The cloud answers 10 requests a second, and is asked 40 under cloud-only."""


def broken_off(session: Session, number: int, act: Callable[[], None]) -> tuple[MethodResult, BaseException]:
    """A method in which ``act`` breaks the replay off when three requests are done; and what it was."""
    method = session.inputs.scenario.methods[number]
    broken = BreakingOff()
    try:
        with terminable(), network_alive(session.network), broken:
            result = run_method(session, method, at(3, act), broken=broken)
    except BREAKS as error:
        return result, error
    raise AssertionError("nothing broke it off")


def judged(session: Session, *results: MethodResult) -> dict[str, list[str]]:
    """The reasons against the run of these methods, which is concluded as one that was ended early."""
    measured = Measured(list(results))
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "status": "interrupted",
        "run_id": "brkn",
        "started_at": "2026-01-01T00:00:00+00:00",
        "scenario": session.inputs.scenario.model_dump(mode="json"),
        "started_ns": {result.method: 0 for result in results},
        "broken_off": [asdict(broken) for broken in measured.broken_off],
    }
    session.directory.write_json("manifest.json", manifest)
    conclude(session.directory, session.inputs, measured, told(manifest))
    fidelity = session.directory.read_json("fidelity.json")
    assert fidelity["notes"][0] == ended_early(session.directory)
    audited = audit_run(session.directory)
    assert list(audited.differences) == [
        reason for reason in fidelity["reasons"]["decisions"] if "are lost" not in reason
    ]
    reasons: dict[str, list[str]] = fidelity["reasons"]
    return reasons


@pytest.mark.parametrize(
    ("mode", "number", "raised"),
    [
        ("open", signal.SIGINT, KeyboardInterrupt),
        ("lockstep", signal.SIGTERM, Terminated),
        ("closed, users: 7, think: 1ms", signal.SIGINT, KeyboardInterrupt),
    ],
)
def test_a_signal_keeps_what_was_replayed_with_every_byte_and_decision(
    mode: str, number: signal.Signals, raised: type[BaseException], tmp_path: Path
) -> None:
    text = SLOW.replace("mode: open", f"mode: {mode}")
    with emulated(scenario_of(text, tmp_path), tmp_path / "run", quiet_reporter()) as session:
        whole = run_method(session, session.inputs.scenario.methods[0], no_progress)
        part, error = broken_off(session, 1, lambda: os.kill(os.getpid(), number))
        reasons = judged(session, whole, part)
    assert isinstance(error, raised)
    outcomes = part.outcomes.ended
    assert outcomes["answered"] >= 3
    assert outcomes[CUT_OFF] >= 1
    begun = sum(outcomes.values())
    assert begun == len(part.requests) < 40
    assert reasons["bytes"] == []
    assert reasons["decisions"] == []
    assert reasons["quality"] == [f"recserve: 40 requests have {begun} outcomes"]
    assert reasons["latency"][0] == "the links were not measured before the replay"
    assert ended_early(session.directory) == (
        f"the run was ended early: interrupted; recserve was broken off after {begun} of 40 requests"
    )


def test_a_link_process_that_ends_costs_no_outcome_record_or_count(tmp_path: Path) -> None:
    with emulated(scenario_of(SLOW, tmp_path), tmp_path / "run", quiet_reporter()) as session:
        pid = session.network.link_process.pid
        part, error = broken_off(session, 0, lambda: os.kill(pid, signal.SIGKILL))
        reasons = judged(session, part)
    assert isinstance(error, TestbedError)
    assert str(error) == "the link process has ended, and all links with it: SIGKILL"
    assert part.outcomes.ended["answered"] >= 3
    assert [row["frame_bytes"] > 0 for row in part.links] == [True, True]
    assert sum(row["prompt_bytes"] for row in part.links) > 0
    assert "cloud-only: the link process did not say how late it was" in reasons["latency"]
    assert "recserve was not replayed" in reasons["quality"]


def test_a_tier_that_ends_costs_its_own_records_alone(tmp_path: Path) -> None:
    with emulated(scenario_of(SLOW, tmp_path), tmp_path / "run", quiet_reporter()) as session:
        process = next(node for node in session.nodes if node.name == "cloud1").host.process
        assert process is not None
        part, error = broken_off(session, 1, lambda: process.signal(signal.SIGKILL))
        reasons = judged(session, part)
    assert "cloud1" in str(error)
    assert len(part.requests) == 40
    assert {path for row in part.requests for path in row["path"]} == {"device1"}
    assert reasons["bytes"] == []
    assert reasons["decisions"] == ["recserve: the records of cloud1 are lost"]
    not_replayed, failed = reasons["quality"]
    assert not_replayed == "cloud-only was not replayed"
    assert failed.startswith("recserve: ")
    assert failed.endswith(
        " requests failed, or got a stand-in answer, and cloud1 had ended or did not answer"
    )
    assert "the records of cloud1 under recserve are lost" in str(ended_early(session.directory))


def test_a_disk_that_becomes_full_ends_it_at_once_and_all_is_written(
    tmp_path: Path, small_disk: Path
) -> None:
    with emulated(scenario_of(SLOW, tmp_path), tmp_path / "run", quiet_reporter()) as made:
        session = replace(made, directory=RunDirectory.create(small_disk / "run", "emulated"))
        others = small_disk / "others"

        def fill() -> None:
            with others.open("wb") as file, suppress(OSError):
                while True:
                    file.write(bytes(4096))

        method = session.inputs.scenario.methods[0]
        broken = BreakingOff()
        with pytest.raises(TestbedError) as told, Reserve(session.directory.path, 1 << 20), broken:
            result = run_method(session, method, at(3, fill), broken=broken)
        reasons = judged(session, result)
    assert str(told.value) == (
        f"{small_disk}/run: no space left on its disk while the run went on; make room and run again"
    )
    assert len(result.requests) < 40
    assert result.outcomes.ended[CUT_OFF] >= 1
    assert reasons["decisions"] == []
    assert session.directory.broken_seals() == []


def test_signals_that_are_held_back_take_effect_once_and_at_the_end() -> None:
    """They are held back when the last answer is there, and would be again when events have been put back."""
    heard: list[str] = []

    def hold() -> None:
        with BreakingOff() as broken:
            for _ in range(2):
                broken.hold_signals(lambda: heard.append("accounted for first"))
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            heard.append("accounted for")

    with pytest.raises(KeyboardInterrupt):
        hold()
    assert heard == ["accounted for first", "accounted for"]
