"""A network that is lent to one run after another serves each as one of its own would."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.host.image import ImageRef
from testbed.network.link_process.fates import Fates, Way, WayFigures
from testbed.orchestrator.bring_up import Standing
from testbed.orchestrator.conclude import Concluded, Measured, conclude, judge_anew
from testbed.orchestrator.held import MEASURED_EVERY_S, HeldNetwork
from testbed.orchestrator.manifest import Manifest
from testbed.orchestrator.measurement import Measurement
from testbed.orchestrator.method import MethodResult, run_method
from testbed.orchestrator.observe import try_policies
from testbed.orchestrator.prepare import Parts
from testbed.orchestrator.session import Session
from testbed.results.directory import RunDirectory
from testbed.results.latency import PENDING
from testbed.scenario.reports import Finding
from testbed.scenario.scenario import Scenario
from testbed.scenario.workload.trace_file import write_trace
from tests.orchestrator.emulation import emulated, inputs_for, scenario_of

pytestmark = pytest.mark.root
TEXT = """
name: kept
task: {kind: classification, dataset: rotten_tomatoes, labels: [negative, positive]}
tiers:
  - {name: device, nodes: 1, model: {kind: recorded, service: 1ms}, cpus: 0.5, memory: 64MiB}
  - {name: cloud,  nodes: 1, model: {kind: recorded, service: 2ms}, cpus: 0.5, memory: 64MiB}
links:
  - {name: access, between: [device, cloud], LINK}
methods:
  - {name: recserve, beta: BETA, window: 100}
trace: {requests: 30, arrivals: {process: poisson, rate: 40}, seed: SEED}
replay: {mode: lockstep, deadline: 30s}
"""
LINK = "device1-cloud1"
USUAL = "rate: 20mbit, delay: 5ms"
LOSSY = f"{USUAL}, loss: 15%"
POINTS = [(0.3, USUAL, 1), (0.3, LOSSY, 1), (0.7, USUAL, 1), (0.7, LOSSY, 2)]


def told_to(file: io.StringIO) -> Reporter:
    return Reporter(Console(file=file, width=1000))


def quiet_reporter() -> Reporter:
    return Reporter(Console(quiet=True))


def point(folder: Path, beta: float, link: str, seed: int) -> Scenario:
    text = TEXT.replace("BETA", str(beta)).replace("LINK", link).replace("SEED", str(seed))
    folder.mkdir(parents=True)
    return scenario_of(text, folder)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """A network that came up for a run with other figures than any of the test's."""
    folder = tmp_path_factory.mktemp("kept")
    first = point(folder / "first", 0.5, "rate: 1mbit, down: {delay: 90ms, loss: 30%}", 7)
    with emulated(first, folder / "run", quiet_reporter()) as session:
        yield Standing(session.network, session.nodes, groups={})


def lend(standing: Standing, scenario: Scenario, out: Path) -> Session:
    """The network with the figures of a scenario, whose run directory is ``out``."""
    inputs = inputs_for(scenario)
    directory = RunDirectory.create(out, scenario.name)
    write_trace(inputs.trace, out / "trace.jsonl")
    manifest = Manifest(directory, standing.network.run_id, inputs, Parts(ImageRef("none", "none", 0), None))
    return standing.session(inputs, manifest, quiet_reporter(), {})


def replayed(session: Session) -> MethodResult:
    try_policies(session)
    (method,) = session.inputs.scenario.methods
    return run_method(session, method, lambda _done, _of: None)


def essence(result: MethodResult) -> dict[str, Any]:
    """What of a method must be the same wherever it runs. How often TCP acknowledges hangs on the moment."""
    same = ("request_id", "path", "confidences", "thresholds", "window_seqs", "window_lengths", "answer")
    return {
        "requests": [{name: row[name] for name in same} for row in result.requests],
        "bytes": [(row["prompt_bytes"], row["answer_bytes"]) for row in result.links],
    }


def check_losses(scenario: Scenario, result: MethodResult) -> int:
    """Check that the seed's frames were lost of those that crossed, and no other; return how many."""
    assert [row["unaccounted_bytes"] for row in result.links] == [0, 0]
    lost = [row["lost_frames"] for row in result.links]
    assert lost == [lost_by_seed(scenario, row) for row in result.links]
    return sum(lost)


def lost_by_seed(scenario: Scenario, row: dict[str, Any]) -> int:
    """How many of the frames that crossed a direction of the link the seed loses, counted from the first."""
    shape = scenario.topology.links[0].shape(row["direction"])
    way = Way(WayFigures(loss=shape.loss), Fates(scenario.seed, row["method"], LINK, row["direction"]))
    return sum(not way.enter(0) for _ in range(row["frames"]))


@pytest.mark.timeout(240)
def test_in_lockstep_a_run_on_a_kept_network_decides_sends_and_loses_as_one_alone(
    standing: Standing, tmp_path: Path
) -> None:
    kept, alone, lost = [], [], []
    for number, values in enumerate(POINTS):
        scenario = point(tmp_path / f"{number}", *values)
        result = replayed(lend(standing, scenario, tmp_path / f"{number}/kept"))
        lost.append(check_losses(scenario, result))
        kept.append(essence(result))
    for number in range(len(POINTS)):
        folder = tmp_path / f"{number}"
        with emulated(
            scenario_of((folder / "scenario.yaml").read_text(), folder), folder / "alone", quiet_reporter()
        ) as session:
            result = replayed(session)
            check_losses(session.inputs.scenario, result)
            alone.append(essence(result))
    assert kept == alone
    assert lost[0] == lost[2] == 0 < min(lost[1], lost[3])


def test_figures_hold_in_both_directions_and_on_the_links_that_are_probed(
    standing: Standing, tmp_path: Path
) -> None:
    latencies_ms = []
    for number, link in enumerate(("rate: 9mbit, up: {delay: 80ms}, down: {delay: 40ms}", USUAL)):
        scenario = point(tmp_path / f"{number}", 0.9, link, 1)
        session = lend(standing, scenario, tmp_path / f"{number}/run")
        result = replayed(session)
        crossed = [row for row in result.requests if len(row["path"]) == 2]
        latencies_ms.append(min(row["latency_ms"] for row in crossed))
        (link_now,) = scenario.topology.links
        manifest = session.directory.read_json("manifest.json")
        assert manifest["links"][0]["up"]["delay_ms"] == link_now.up.delay_ms
        (probe,) = result.observed.probes
        assert probe.link == "probe1"
        (path,) = session.probes
        assert (path.up, path.down) == (link_now.up.still, link_now.down.still)
    assert latencies_ms[0] >= 120 > 60 > latencies_ms[1] >= 10
    assert len(standing.idle) == 1
    (tmp_path / "other").mkdir()
    more = TEXT.replace("nodes: 1", "nodes: 2", 1).replace("LINK", USUAL).replace("BETA", "0.3")
    with pytest.raises(ValueError, match="a network of its own"):
        standing.network.become(scenario_of(more.replace("SEED", "1"), tmp_path / "other").topology)


@pytest.fixture(scope="module")
def run(standing: Standing, tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, MethodResult]:
    folder = tmp_path_factory.mktemp("judged")
    session = lend(standing, point(folder / "point", 0.5, USUAL, 1), folder / "0002")
    return session, replayed(session)


def concluded(run: tuple[Session, MethodResult]) -> Concluded:
    session, result = run
    before = Measurement([RATE], 0.0, "0002", session.inputs.topology.links)
    return conclude(session.directory, session.inputs, Measured([result], before, None, pending=True))


RATE = Finding(LINK, "up", "rate", "bit/s", 2e7, 2e7, 1.98e7, 2.02e7, 3000, ok=True)


def verdict(directory: RunDirectory) -> tuple[bool, str]:
    """The verdict on latency by both files that have it, and its reasons."""
    fidelity, summary = (directory.read_json(f"{name}.json") for name in ("fidelity", "summary"))
    assert fidelity["faithful"] == summary["faithful"]
    assert directory.broken_seals() == []
    return fidelity["faithful"]["latency"], " ".join(fidelity["reasons"]["latency"])


def test_a_verdict_is_pending_until_the_links_are_measured_again(run: tuple[Session, MethodResult]) -> None:
    waiting = concluded(run)
    directory, own = waiting.directory, run[0].inputs.topology.links
    is_faithful, reasons = verdict(directory)
    assert not is_faithful
    assert PENDING in reasons
    methods = directory.read_json("summary.json")["methods"]

    judge_anew(waiting, Measurement([RATE], 9.0, "0002", own))
    assert PENDING not in verdict(directory)[1]
    fidelity = directory.read_json("fidelity.json")
    assert fidelity["links"]["after"] == fidelity["links"]["before"] == [json.loads(json.dumps(vars(RATE)))]
    assert not any("figures of run" in note for note in fidelity["notes"])
    assert directory.read_json("summary.json")["methods"] == methods


def test_half_an_hour_after_a_measurement_the_links_are_measured_again(
    run: tuple[Session, MethodResult], standing: Standing, tmp_path: Path
) -> None:
    (first, _), waiting = run, concluded(run)
    second = point(tmp_path / "second", 0.5, "delay: 1ms", 1)
    network = HeldNetwork([first.inputs.scenario, second, second], quiet_reporter())
    just_not_s, links = time.monotonic() - MEASURED_EVERY_S + 60, first.inputs.topology.links
    earlier = Measurement([RATE], just_not_s, "0002", links)
    network._measured.append(earlier)  # it would be that of a network of containers
    network.await_judgement(waiting)
    assert network.before(first) is earlier
    assert network.after(first) is None
    assert PENDING in verdict(waiting.directory)[1]

    session = lend(standing, second, tmp_path / "0003")
    network._measured[-1] = replace(earlier, at_s=time.monotonic() - MEASURED_EVERY_S)
    found = network.after(session)
    assert found is not None
    assert found is network.before(session)
    assert PENDING not in verdict(waiting.directory)[1]
    fidelity = waiting.directory.read_json("fidelity.json")
    (round_trip,) = [one for one in fidelity["links"]["after"] if one["quantity"] == "round trip"]
    assert 2 <= round_trip["configured"] < 5
    assert 2 <= round_trip["measured"] < 10
    assert any("with the figures of run 0003" in note for note in fidelity["notes"])


def test_it_says_whose_figures_were_measured_where_they_were_not_its_own(
    run: tuple[Session, MethodResult], standing: Standing, tmp_path: Path
) -> None:
    waiting = concluded(run)
    other = point(tmp_path / "other", 0.5, LOSSY, 1).topology.links
    judge_anew(waiting, Measurement([RATE], 9.0, "0003", other))
    (note,) = [
        note for note in waiting.directory.read_json("fidelity.json")["notes"] if "figures of run" in note
    ]
    assert note.startswith("after the replay, the links were measured with the figures of run 0003")


def test_links_that_cannot_be_measured_again_leave_the_verdict_false_and_say_why(
    run: tuple[Session, MethodResult],
) -> None:
    waiting = concluded(run)
    judge_anew(waiting, None, "the links could not be measured again after the replay: it broke")
    is_faithful, reasons = verdict(waiting.directory)
    assert not is_faithful
    assert "the links were not measured after the replay" in reasons
    assert PENDING not in reasons
    notes = waiting.directory.read_json("fidelity.json")["notes"]
    assert any(note.endswith("it broke") for note in notes)


def test_a_directory_that_was_damaged_meanwhile_stays_so(run: tuple[Session, MethodResult]) -> None:
    waiting = concluded(run)
    trace = waiting.directory.path / "trace.jsonl"
    text = trace.read_text()
    trace.write_text(text.replace("device1", "device2", 1))
    judge_anew(waiting, Measurement([RATE], 9.0, "0002", run[0].inputs.topology.links))
    assert [words.split()[0] for words in waiting.directory.broken_seals()] == ["trace.jsonl"]
    trace.write_text(text)


def test_what_was_changed_meanwhile_is_not_sealed_anew(run: tuple[Session, MethodResult]) -> None:
    waiting = concluded(run)
    summary = waiting.directory.path / "summary.json"
    summary.write_text(summary.read_text().replace('"requests": 30', '"requests": 31'))
    with pytest.raises(TestbedError, match=r"summary\.json is not as the run left it"):
        judge_anew(waiting, Measurement([RATE], 9.0, "0002", run[0].inputs.topology.links))
    assert [words.split()[0] for words in waiting.directory.broken_seals()] == ["summary.json"]


def test_nobody_waits_for_a_verdict_after_a_break(run: tuple[Session, MethodResult]) -> None:
    waiting, said = concluded(run), io.StringIO()
    network = HeldNetwork([run[0].inputs.scenario], told_to(said))
    network.await_judgement(waiting)
    with pytest.raises(KeyboardInterrupt), network:
        raise KeyboardInterrupt
    is_faithful, reasons = verdict(waiting.directory)
    assert not is_faithful
    assert "the links were not measured after the replay" in reasons
    assert PENDING not in reasons
    assert f"nothing vouches for the latencies in {waiting.directory.path}, as" in said.getvalue()
