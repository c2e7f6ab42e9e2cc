"""Moments that tiers record: of one clock, in the order in which things happened, and none left out."""

from __future__ import annotations

import math
import select
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from testbed.orchestrator.replay.replay import Outcome
from testbed.orchestrator.rows.times import Hop, time_columns
from testbed.results.times import is_explained
from tests.tiers.nodes import HOST, ask, begin, chain, free_port, node_config, records, running, wait_until
from tests.tiers.parents import answering, parent
from tiers.server import Node
from tiers.stamped import StampedSocket

ALL_UP = {"policy": "casserve", "thresholds": {"device": 1.0, "edge": 1.0}}
WAY = [Hop("access", "device1", "edge1"), Hop("core", "edge1", "cloud1")]


def asked(device: Node, request_id: str, deadline_ms: int | None = None) -> Outcome:
    """One request as the orchestrator sends it, 5 ms late."""
    sent_s = time.monotonic()
    scheduled_s = sent_s - 0.005
    answer = ask(device.port, f"the long and winding prompt of {request_id}", request_id, deadline_ms)
    done_s = time.monotonic()
    latency_ms = (done_s - scheduled_s) * 1000
    outcome = "answered" if answer.status == 200 else str(answer.json["error"]["type"])
    return Outcome(request_id, "device1", scheduled_s, sent_s, done_s, latency_ms, outcome)


def joined(outcome: Outcome, *nodes: Node) -> dict[str, Any]:
    """The row's columns of time, of whatever the nodes recorded."""
    by_node = {
        node.service.config.place.node: record
        for node in nodes
        for record in records(node)
        if record["request_id"] == outcome.request_id
    }
    hops = [hop for hop in WAY if by_node.get(hop.child, {}).get("upstream_ms") is not None]
    row = time_columns(outcome, hops, by_node)
    return {**row, "path": list(by_node), "outcome": outcome.outcome, "latency_ms": outcome.latency_ms}


def spent(row: dict[str, Any]) -> float:
    lists = ("queue_ms", "inference_ms", "own_ms", "hop_up_ms", "hop_down_ms")
    known = [ms for name in lists for ms in row[name] if ms is not None]
    return math.fsum([row["lateness_ms"], *known, row["unexplained_ms"]])


def test_the_moments_of_a_request_are_in_the_order_in_which_they_happened() -> None:
    with chain(service_ms=3) as nodes:
        begin(ALL_UP, *nodes)
        before_s = time.monotonic()
        ask(nodes[0].port, "up and down", "r1")
        after_s = time.monotonic()
        device, edge, cloud = (records(node)[0] for node in nodes)
        moments = [
            before_s, device["arrived_s"], device["forward_began_s"], edge["arrived_s"],
            edge["forward_began_s"], cloud["arrived_s"], cloud["handed_over_s"], edge["forward_answered_s"],
            edge["handed_over_s"], device["forward_answered_s"], device["handed_over_s"], after_s,
        ]  # fmt: skip
        assert moments == sorted(moments)
        assert cloud["forward_began_s"] is cloud["forward_answered_s"] is None


def test_every_millisecond_has_a_cause_for_many_requests_at_a_time() -> None:
    with chain(service_ms=2) as nodes:
        begin({"policy": "recserve", "beta": 0.5, "window": 50}, *nodes)
        with ThreadPoolExecutor(8) as crowd:
            outcomes = list(crowd.map(lambda number: asked(nodes[0], f"r{number}"), range(60)))
        rows = [joined(outcome, *nodes) for outcome in outcomes]
    assert {len(row["path"]) for row in rows} == {1, 2, 3}
    for row in rows:
        assert is_explained(row)
        assert math.isclose(spent(row), row["latency_ms"])
        assert row["lateness_ms"] == pytest.approx(5)
        assert len(row["hop_up_ms"]) == len(row["hop_down_ms"]) == len(row["path"]) - 1
        assert min(*row["queue_ms"], *row["own_ms"], *row["hop_up_ms"], *row["hop_down_ms"]) >= 0
        assert row["unexplained_ms"] > 0


def test_an_answer_from_what_there_is_leaves_the_first_times_alone() -> None:
    with chain(service_ms=2) as nodes:
        begin(ALL_UP, *nodes)
        first = asked(nodes[0], "r1")
        row = joined(first, *nodes)
        asked(nodes[0], "r1")
        assert joined(first, *nodes) == row


def test_a_repeated_request_has_its_repeat_in_the_hop() -> None:
    def close_once(number: int, connection: socket.socket) -> bool:
        time.sleep(0.05)
        return number > 0 and answering()(number, connection)

    with parent(close_once) as (above, _), running(node_config("edge", above)) as edge:
        begin({"policy": "cloud-only"}, edge)
        outcome = asked(edge, "r1")
        (record,) = records(edge)
        assert (outcome.outcome, record["repeats"]) == ("answered", 1)
        assert record["forward_answered_s"] - record["forward_began_s"] >= 0.1
        row = joined(outcome, edge)
        assert row["hop_up_ms"] == row["hop_down_ms"] == [None]
        assert math.isclose(spent(row), row["latency_ms"])
        assert row["unexplained_ms"] >= 100
        assert not is_explained(row)


def test_an_answer_that_came_too_late_has_no_way_down_and_the_sum_holds() -> None:
    with (
        running(node_config("edge", free_port(), 300.0)) as edge,
        running(node_config("device", edge.port)) as device,
    ):
        begin({"policy": "casserve", "thresholds": {"device": 1.0, "edge": 0.0}}, device, edge)
        outcome = asked(device, "r1", deadline_ms=150)
        time.sleep(0.4)
        row = joined(outcome, device, edge)
    assert outcome.outcome == "answered"
    assert row["hop_up_ms"][0] >= 0
    assert row["hop_down_ms"] == [None]
    assert math.isclose(spent(row), row["latency_ms"])
    assert not is_explained(row)


def test_where_there_is_no_tier_above_the_time_is_still_all_there() -> None:
    with running(node_config("device", free_port())) as device:
        begin({"policy": "cloud-only"}, device)
        outcome = asked(device, "r1")
        row = joined(outcome, device)
    assert outcome.outcome == "unreachable"
    assert row["hop_up_ms"] == row["hop_down_ms"] == [None]
    assert math.isclose(spent(row), row["latency_ms"])


def test_a_reader_that_was_kept_from_reading_knows_when_its_data_had_come() -> None:
    with socket.create_server((HOST, 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
        with client, StampedSocket.of(accepted) as reader:

            def stamped() -> bool:
                client.sendall(b"x")
                time.sleep(0.02)
                reader.recv(1)
                return time.monotonic() - reader.arrived_s > 0.015

            wait_until(stamped)  # a kernel that stamped nothing so far begins after a moment
            for read in (lambda: reader.recv(100), lambda: reader.recv_into(bytearray(100))):
                sent_s = time.monotonic()
                client.sendall(b"x" * 10)
                time.sleep(0.3)
                read()
                assert sent_s <= reader.arrived_s < sent_s + 0.2


def test_how_long_a_socket_may_send_is_this_requests_to_say_not_the_last_ones() -> None:
    body = b"x" * 8_000_000  # more than the buffers hold
    with socket.create_server((HOST, 0)) as listener:
        client = StampedSocket.of(socket.create_connection(listener.getsockname()))
        accepted, _ = listener.accept()
        with client, accepted:
            client.settimeout(0.01)  # as an earlier request left it
            client.give_up_s = time.monotonic() + 20
            received = bytearray()

            def read_late() -> None:
                time.sleep(0.2)
                while len(received) < len(body):
                    received.extend(accepted.recv(1 << 20))

            reading = threading.Thread(target=read_late)
            reading.start()
            client.sendall(body)
            reading.join(20)
            assert len(received) == len(body)
            client.give_up_s = time.monotonic()
            with pytest.raises(TimeoutError):
                client.recv(1)
            accepted.sendall(b"late")
            wait_until(lambda: select.select([client], [], [], 0)[0])
            assert client.recv(4) == b"late"  # what has come is read all the same
