"""Rows of requests: which hops each tried, and what its texts put on them, from real captures' accounts."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from testbed.host.cgroup import Usage
from testbed.orchestrator.replay.replay import Outcome
from testbed.orchestrator.rows.requests import request_rows, text_bytes, with_lives
from testbed.orchestrator.rows.tiers import breakers, tier_rows
from testbed.results.columns import RequestRow, total
from testbed.results.evidence import BreakerReport
from testbed.scenario.scenario import load_scenario
from testbed.scenario.topology import Topology
from testbed.scenario.workload.datasets import Example
from testbed.wire.parts import CaptureAccount
from tests.results.simulated import TEXT
from tests.wire.crafted import Connection, accounted, answer, frame, request

ACCESS, CORE = "device1-edge1", "edge1-cloud1"
PROMPT, REPLY = "three é four", "ja"


@pytest.fixture
def topology(tmp_path: Path) -> Topology:
    path = tmp_path / "simulated.yaml"
    path.write_text(TEXT)
    return load_scenario(path).topology


def record(request_id: str, **changes: Any) -> dict[str, Any]:
    """What a node's ``/control/records`` says of a request that it kept."""
    unset = ("threshold", "window_seq", "window_length", "forward_error", "upstream_ms", "backend_ms")
    nothing = dict.fromkeys((*unset, "forward_began_s", "forward_answered_s"))
    return {
        "request_id": request_id, "inferred": True, "confidence": 0.7, "kept": True, "answer": REPLY,
        "made_up": False, "queue_ms": 0.0, "inference_ms": 2.0, "batch_size": 1, "own_ms": 0.5, "repeats": 0,
        "tripped": False, "skipped": None, "outcome": "answered", "arrived_s": 5.0, "handed_over_s": 5.0025,
        "prompt_tokens": 4, "generated_tokens": 1,
        **nothing, **changes,
    }  # fmt: skip


def sent_up(request_id: str, **changes: Any) -> dict[str, Any]:
    moments = {"forward_began_s": 4.99, "forward_answered_s": 5.01}
    return record(request_id, **{"kept": False, "upstream_ms": 20.0, **moments, **changes})


def outcome(request_id: str) -> Outcome:
    return Outcome(request_id, "device1", 0.0, 0.0, 0.1, 100.0, "answered", REPLY, "cloud")


def rows(
    topology: Topology, ids: list[str], records: Any, accounts: dict[str, CaptureAccount]
) -> list[RequestRow]:
    crossed = {
        link.name: accounts[link.name].requests if link.name in accounts else {} for link in topology.links
    }
    examples = {name: Example(1, PROMPT, REPLY) for name in ids}
    return request_rows(
        "recserve", [outcome(name) for name in ids], with_lives(records, {}), examples, topology, crossed
    )


def unattributed(link: str, account: CaptureAccount, requests: list[RequestRow]) -> tuple[int, int]:
    """Bytes of text up and down that the link's capture holds beyond those of the requests."""
    attributed = text_bytes(requests)
    return (
        account.up.prompt_bytes - attributed[link, "up"],
        account.down.answer_bytes - attributed[link, "down"],
    )


def test_each_hop_has_the_texts_that_crossed_it(topology: Topology, tmp_path: Path) -> None:
    accounts = {}
    for name in (ACCESS, CORE):
        connection = Connection()
        for request_id in ("q1", "q2")[: 2 if name == ACCESS else 1]:
            connection.send(True, request(PROMPT, request_id).wire)
            connection.send(False, answer(REPLY).wire)
        accounts[name] = accounted(tmp_path / name, connection.frames)
    records = {
        "device1": [sent_up("q1"), sent_up("q2"), record("q3")],
        "edge1": [sent_up("q1"), record("q2")],
        "cloud1": [record("q1")],
    }
    high, middle, low = rows(topology, ["q1", "q2", "q3"], records, accounts)
    assert (high.hops, middle.hops, low.hops) == ([ACCESS, CORE], [ACCESS], [])
    assert (high.hop_prompt_bytes, high.hop_answer_bytes) == ([13, 13], [2, 2])
    assert (middle.hop_prompt_bytes, middle.hop_answer_bytes) == ([13], [2])
    assert low.hop_prompt_bytes == low.hop_answer_bytes == low.hop_up_ms == []
    assert high.hop_up_ms == pytest.approx([10, 10])
    assert middle.hop_down_ms == pytest.approx([7.5])
    for name, account in accounts.items():
        assert unattributed(name, account, [high, middle, low]) == (0, 0)


def test_a_hop_whose_prompt_never_crossed_whole_is_there_with_what_did(
    topology: Topology, tmp_path: Path
) -> None:
    connection = Connection()
    wire = request(PROMPT, "q1").wire
    connection.send(True, wire[: wire.index(b"three") + 5])
    connection.frames.append(frame(True, connection.seq_up, flags="RA", ack=connection.seq_down))
    account = accounted(tmp_path / "a.pcap", connection.frames)
    failed = {"forward_error": "unreachable"}
    records = {"device1": [sent_up("q1", **failed), sent_up("q2", **failed)]}
    cut, never = rows(topology, ["q1", "q2"], records, {ACCESS: account})
    assert (cut.path, cut.hops, cut.hop_prompt_bytes) == (["device1"], [ACCESS], [5])
    assert cut.hop_up_ms == cut.hop_down_ms == [None]
    assert (never.hops, never.hop_prompt_bytes, never.hop_answer_bytes) == ([ACCESS], [0], [0])
    assert unattributed(ACCESS, account, [cut, never]) == (0, 0)


def test_a_hop_to_a_tier_that_was_skipped_has_no_time_down(topology: Topology) -> None:
    records = {
        "device1": [sent_up("q1", skipped="not_ready")],
        "edge1": [record("q1", inferred=False, kept=False, outcome="not_ready")],
        "cloud1": [record("q1")],
    }
    (row,) = rows(topology, ["q1"], records, {})
    assert (row.path, row.hops) == (["device1", "edge1", "cloud1"], [ACCESS, CORE])
    assert row.hop_up_ms == [pytest.approx(10), None]
    assert row.hop_down_ms == [None, None]


@pytest.mark.parametrize("stranger", ["", "curl"])
def test_text_of_no_request_of_the_trace_is_counted(
    topology: Topology, tmp_path: Path, stranger: str
) -> None:
    connection = Connection()
    for request_id in ("q1", stranger):
        connection.send(True, request(PROMPT, request_id).wire)
        connection.send(False, answer(REPLY).wire)
    account = accounted(tmp_path / "a.pcap", connection.frames)
    records = {"device1": [sent_up("q1")], "edge1": [record("q1")]}
    requests = rows(topology, ["q1"], records, {ACCESS: account})
    assert unattributed(ACCESS, account, requests) == (13, 2)


def test_an_inference_is_replaced_only_by_an_answer_from_above(topology: Topology) -> None:
    records = {
        "device1": [
            record("q1"),
            sent_up("q2"),
            sent_up("q3", forward_error="deadline"),  # its own answer went out after all
            sent_up("q4", inferred=False),  # a relay has none to replace
            sent_up("q5", outcome="deadline"),
            sent_up("q6", forward_error="unreachable", tripped=True),
            sent_up("q7", forward_error="breaker_open", upstream_ms=None),
            sent_up("q8", inferred=False, forward_error="breaker_open"),  # the breaker of the tier above
        ]
    }
    used = {node.name: Usage(10**6, 0.25, None, None, None) for node in topology.nodes if node.parent}
    first, *others = tier_rows("recserve", records, used, topology)
    assert (first.node, first.tier, first.cpu_seconds) == ("device1", "device", 0.25)
    assert (first.inferences, first.inference_ms, first.kept) == (6, 12.0, 1)
    assert first.replaced_inferences == 1
    assert (first.breaker_opened, first.breaker_refused) == (1, 1)
    assert breakers("recserve", records) == [BreakerReport("recserve", "device1", 1, 1)]
    assert {row.inferences for row in others} == {0}
    assert others[-1].cpu_seconds is None  # no container
    read = [asdict(row) for row in (first, *others)]
    assert total(read[:-1], "cpu_seconds") == 0.25 * len(used)
    assert total(read, "cpu_seconds") is total(read[:1], "periods") is total([], "kept") is None


def test_what_a_killed_node_had_recorded_comes_before_what_it_recorded_since() -> None:
    last = {"edge1": [{"request_id": "c"}], "cloud1": [{"request_id": "c"}]}
    lives = with_lives(last, {"edge1": [[{"request_id": "a"}], [{"request_id": "b"}]]})
    assert lives["edge1"] == [{"request_id": name, "life": life} for life, name in enumerate("abc")]
    assert lives["cloud1"] == [{"request_id": "c", "life": 0}]
