"""A method from reset to account, on real links with real servers."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from testbed.console import Glance, Reporter
from testbed.host.processes.proc import command_line, process_ids
from testbed.orchestrator.breaking_off import BreakingOff
from testbed.orchestrator.estimate import Ahead
from testbed.orchestrator.method import MethodResult, run_method
from testbed.orchestrator.method import account as account_for
from testbed.orchestrator.observe import observe
from testbed.orchestrator.session import Session
from testbed.results.captures import put_away
from testbed.results.directory import RunDirectory
from testbed.results.evidence import Evidence
from testbed.results.fidelity import judge
from testbed.scenario.sections.price import Price
from testbed.scenario.sections.replay import Replay
from testbed.scenario.topology import Topology
from testbed.wire.account import LinkEnds, account
from testbed.wire.parts import BYTE_PARTS
from tests.orchestrator.emulation import emulated, scenario_of
from tests.wire import wireshark

pytestmark = pytest.mark.root
TEXT = """
name: emulated
task: {kind: classification, dataset: rotten_tomatoes, labels: [negative, positive]}
tiers:
  - {name: device, nodes: 1, model: {kind: recorded, service: 1ms}, cpus: 0.5, memory: 64MiB}
  - {name: cloud,  nodes: 1, model: {kind: recorded, service: 2ms}, cpus: 0.5, memory: 64MiB}
links:
  - {name: access, between: [device, cloud], rate: 20mbit}
methods:
  - {name: cloud-only}
  - {name: recserve, beta: 0.5, window: 100}
trace: {requests: 40, arrivals: {process: poisson, rate: 40}, seed: 1}
replay: {mode: open, deadline: 30s}
"""
LINK = "device1-cloud1"


def quiet_reporter() -> Reporter:
    return Reporter(Console(quiet=True))


def no_progress(_done: int, _of: int) -> None:
    pass


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    folder = tmp_path_factory.mktemp("emulated")
    with emulated(scenario_of(TEXT, folder), folder / "run", quiet_reporter()) as session:
        yield session


@pytest.fixture
def session(up: Session, tmp_path: Path) -> Session:
    """The same network with a run directory of the test's own."""
    return replace(up, directory=RunDirectory.create(tmp_path / "run", "emulated"))


def run_all(session: Session) -> list[MethodResult]:
    return [run_method(session, method, no_progress) for method in session.inputs.scenario.methods]


def test_a_method_is_accounted_for_again_from_files_alone(session: Session) -> None:
    method = session.inputs.scenario.methods[1]
    observed = observe(session, method, no_progress, broken=BreakingOff())
    first = account_for(session.inputs, session.directory, observed, quiet_reporter())
    put_away(session.directory, method.name, "compress", pytest.fail)
    again = account_for(session.inputs, session.directory, observed, quiet_reporter())
    assert first == again
    assert sum(row["prompt_bytes"] for row in first.links) > 0


def against_bytes(*results: MethodResult) -> tuple[str, ...]:
    accounts = [account for result in results for account in result.accounts]
    return judge(Evidence(accounts=accounts)).reasons["bytes"]


def ends(topology: Topology) -> LinkEnds:
    (link,) = topology.links
    return LinkEnds(topology.node(link.child).mac, topology.node(link.parent).mac)


def check_exact(session: Session, results: list[MethodResult]) -> None:
    """For each method and direction the parts sum to the kernel's counters, and tshark sees the same."""
    assert against_bytes(*results) == ()
    for result in results:
        assert result.outcomes.ended == {"answered": len(session.inputs.trace)}
        assert result.overflows == []
        assert [row["direction"] for row in result.links] == ["up", "down"]
        for row in result.links:
            assert row["unaccounted_bytes"] == 0
            assert sum(row[name] for name in BYTE_PARTS) == row["frame_bytes"] > 0
        crossed = [row for row in result.requests if len(row["path"]) == 2]
        texts = {name: len(example.text.encode()) for name, example in session.inputs.examples.items()}
        assert result.links[0]["prompt_bytes"] == sum(texts[row["request_id"]] for row in crossed)
        pcap = session.directory.pcap(result.outcomes.method, LINK)
        repeats = wireshark.check(pcap, account(pcap, ends(session.network.topology)))
        print(result.outcomes.method, repeats)


def test_the_parts_of_each_method_sum_to_the_kernels_counters(session: Session) -> None:
    check_exact(session, run_all(session))


def test_so_they_do_over_a_link_that_loses_duplicates_and_reorders(tmp_path: Path) -> None:
    way = "delay: 10ms, jitter: 2ms, loss: 5%, duplicate: 3%, reorder: 20%"
    text = TEXT.replace("rate: 20mbit", f"rate: 20mbit, {way}")
    with emulated(scenario_of(text, tmp_path), tmp_path / "run", quiet_reporter()) as session:
        check_exact(session, run_all(session))


def at(done: int, act: Callable[[], None]) -> Callable[[int, int], None]:
    return lambda so_far, _of: act() if so_far == done else None


def end_capture(interface: str) -> None:
    """Kill the tcpdump on that interface, as a kernel short of memory might."""
    for pid in process_ids():
        if "tcpdump" in command_line(pid)[:1] and interface in command_line(pid):
            os.kill(pid, signal.SIGKILL)


def test_a_capture_that_dies_costs_the_verdict_on_bytes_and_nothing_else(session: Session) -> None:
    interface = session.network.link(LINK).capture_interface
    method = session.inputs.scenario.methods[0]
    result = run_method(session, method, at(20, lambda: end_capture(interface)))
    assert result.outcomes.ended == {"answered": 40}
    assert sum(row["unaccounted_bytes"] for row in result.links) > 0
    reasons = against_bytes(result)
    assert any("SIGKILL" in reason for reason in reasons)
    assert any("are not accounted for" in reason for reason in reasons)


def test_without_a_capture_no_byte_has_a_cause(session: Session) -> None:
    method = session.inputs.scenario.methods[0]
    result = run_method(replace(session, captured=()), method, lambda _done, _of: None)
    assert result.outcomes.ended == {"answered": 40}
    for row in result.links:
        assert row["unaccounted_bytes"] == row["frame_bytes"] > 0
    assert any("cannot be read" in reason for reason in against_bytes(result))


def test_a_closed_loop_of_a_scenario_has_its_users(session: Session) -> None:
    closed = Replay(mode="closed", users=3, think_s=0.01, think_distribution="exponential")
    scenario = session.inputs.scenario.model_copy(update={"replay": closed})
    closed_loop = replace(session, inputs=replace(session.inputs, scenario=scenario))
    result = run_method(closed_loop, scenario.methods[0], no_progress)
    assert result.outcomes.ended == {"answered": 40}
    assert against_bytes(result) == ()
    for row in result.requests:
        outstanding = [
            other for other in result.requests if other["sent_at_s"] <= row["sent_at_s"] < other["done_at_s"]
        ]
        assert len(outstanding) <= 3


class Watching(Reporter):
    """Looks at the replay as soon as it can be, and once more when it is over."""

    def __init__(self) -> None:
        super().__init__(Console(quiet=True))
        self.seen: list[Glance] = []

    @contextmanager
    def watching(self, look: Callable[[], Glance]) -> Iterator[None]:
        self.seen = [look()]
        yield
        self.seen.append(look())


@pytest.mark.parametrize("mode", ["open", "lockstep"])
def test_who_looks_at_a_replay_sees_what_its_tables_say_afterwards(session: Session, mode: str) -> None:
    watching = Watching()
    settings = Replay.model_validate({"mode": mode, "deadline_s": 30.0})
    scenario = session.inputs.scenario.model_copy(update={"replay": settings})
    looked_at = replace(session, reporter=watching, inputs=replace(session.inputs, scenario=scenario))
    method = scenario.methods[1]
    result = run_method(looked_at, method, no_progress, Ahead(10.0, 20.0))
    first, last = watching.seen
    assert (first.requests, first.sent, first.done, first.errors) == (40, 0, 0, 0)
    assert first.run_left_s == first.left_s + 20.0
    assert first.left_s == (looked_at.inputs.trace[-1].at_s if mode == "open" else 10.0)
    assert (last.sent, last.done, last.left_s) == (40, 40, 0.0)
    rows = result.requests
    assert last.served == {tier: sum(row["tier"] == tier for row in rows) for tier in ("device", "cloud")}
    by_node: dict[str, list[float]] = {}
    for row in sorted(rows, key=lambda row: row["done_at_s"]):
        for node, threshold in zip(row["path"], row["thresholds"], strict=True):
            if threshold is not None:
                by_node.setdefault(node, []).append(threshold)
    assert last.thresholds == {node: values[-1] for node, values in by_node.items()}
    assert last.most_late_ms == max(row["lateness_ms"] for row in rows)
    (link,) = last.links
    crossed = {row["direction"]: row["frame_bytes"] for row in result.links}
    # Acknowledgements and the ends of connections may follow.
    assert 0.9 * crossed["up"] < link.up_bytes <= crossed["up"]
    assert 0.9 * crossed["down"] < link.down_bytes <= crossed["down"]


@pytest.mark.parametrize(("price", "cost"), [("2 J/tok", None), ("0 J/tok", 0.0)])
def test_what_nobody_counted_has_no_cost_unless_it_is_free(
    session: Session, price: str, cost: float | None
) -> None:
    scenario = session.inputs.scenario
    prices = Price.model_validate({"prompt": price})
    tiers = tuple(tier.model_copy(update={"price": prices}) for tier in scenario.tiers)
    inputs = replace(session.inputs, scenario=scenario.model_copy(update={"tiers": tiers}))
    result = run_method(replace(session, inputs=inputs), scenario.methods[1], no_progress)
    assert {row["cost"] for row in result.requests} == {cost}
    assert {count for row in result.requests for count in row["prompt_tokens"]} == {None}
