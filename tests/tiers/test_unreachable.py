"""A tier above that dies, stands still or is unwell, under 20 requests a second: no request is lost or
answered twice, none waits for long, and the tier is asked again when it is back.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from tests import ROOT
from tests.tiers.nodes import (
    HOST,
    Answer,
    ask,
    begin,
    free_port,
    is_ready,
    node_config,
    records,
    running,
    wait_until,
)
from tests.tiers.parents import answer, parent
from tiers.breaker import FAILURES, PAUSE_S
from tiers.config import NODE_VARIABLE
from tiers.protocol import encode_json
from tiers.server import Node
from tiers.upstream import divided

ALL_UP = {"policy": "casserve", "thresholds": {"device": 1.0, "edge": 1.0}}
RATE = 20
DEADLINE_MS = 1500


@contextmanager
def process(config: dict[str, Any]) -> Iterator[subprocess.Popen[bytes]]:
    """A node as a process of its own, ready."""
    environment = {**os.environ, NODE_VARIABLE: encode_json(config).decode()}
    command = [sys.executable, "-m", "tiers.server"]
    node = subprocess.Popen(command, env=environment, cwd=ROOT, start_new_session=True)
    try:
        wait_until(lambda: is_ready(config["port"]))
        yield node
    finally:
        node.kill()
        node.wait(10)


def asked_for(device: Node, seconds: float) -> list[tuple[float, float, Answer]]:
    """Ask at :data:`RATE`, whatever is outstanding: when each began, how long it took, and its answer."""
    start = time.monotonic()

    def one(number: int) -> tuple[float, float, Answer]:
        time.sleep(max(0.0, start + number / RATE - time.monotonic()))
        began = time.monotonic()
        reply = ask(device.port, f"film {number}", f"r{number}", deadline_ms=DEADLINE_MS)
        return began - start, time.monotonic() - began, reply

    with ThreadPoolExecutor(100) as crowd:
        return list(crowd.map(one, range(int(seconds * RATE))))


def check_each_once(device: Node, asked: list[tuple[float, float, Answer]]) -> None:
    """Every request is answered in time, by one inference here, and marked if the tier above failed."""
    assert [reply.status for _, _, reply in asked] == [200] * len(asked)
    assert max(took for _, took, _ in asked) < DEADLINE_MS / 1000 + 0.5
    found = {record["request_id"]: record for record in records(device)}
    assert Counter(record["request_id"] for record in records(device)) == Counter(found.keys())
    assert len(found) == len(asked)
    for _, _, reply in asked:
        recserve, record = reply.json["recserve"], found[reply.json["id"]]
        assert not record["kept"]
        assert ("degraded" in recserve) == (record["forward_error"] is not None)
        assert recserve["tier"] == ("edge" if record["forward_error"] is None else "device")
        assert recserve.get("degraded", True) is True


def errors_between(
    device: Node, asked: list[tuple[float, float, Answer]], since: float, until: float
) -> Counter[str]:
    found = {record["request_id"]: record["forward_error"] for record in records(device)}
    return Counter(found[reply.json["id"]] or "none" for began, _, reply in asked if since <= began < until)


def unwell(_number: int, connection: socket.socket) -> bool:
    """The behaviour of a tier above that is not ready."""
    body = b'{"error":{"type":"not_ready","message":"loading"}}'
    head = f"HTTP/1.1 503 Service Unavailable\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return True


@contextmanager
def pair() -> Iterator[tuple[Node, subprocess.Popen[bytes], dict[str, Any]]]:
    """A device that sends everything to an edge, which is a process and the top."""
    tiers = ["device", "edge"]
    config = node_config("edge", None, 2, port=free_port(), tiers=tiers)
    with process(config) as edge, running(node_config("device", config["port"], tiers=tiers)) as device:
        begin(ALL_UP, device)
        yield device, edge, config


@contextmanager
def at(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    timer = threading.Timer(seconds, act)
    timer.start()
    yield
    timer.join()


def test_under_a_kill_every_request_is_answered_once_and_the_tier_is_used_when_it_is_back() -> None:
    with pair() as (device, edge, config):
        with at(1, edge.kill):
            asked = asked_for(device, 3)
        check_each_once(device, asked)
        assert errors_between(device, asked, 0, 0.9).keys() == {"none"}
        dead = errors_between(device, asked, 1.2, 3)
        assert dead.keys() == {"unreachable", "breaker_open"}
        assert dead["breaker_open"] > 10 * dead["unreachable"]
        assert sum(record["tripped"] for record in records(device)) >= 1
        with process(config):
            time.sleep(PAUSE_S)
            assert "degraded" not in ask(device.port, "back", "again").json["recserve"]


def test_under_a_pause_only_those_that_are_out_wait_and_a_probe_finds_the_tier_as_it_goes_on() -> None:
    with pair() as (device, edge, _):
        with (
            at(1, lambda: edge.send_signal(signal.SIGSTOP)),
            at(5, lambda: edge.send_signal(signal.SIGCONT)),
        ):
            asked = asked_for(device, 7)
        check_each_once(device, asked)
        silent_until = 1 + DEADLINE_MS / 1000 + 0.5
        still = errors_between(device, asked, silent_until, 5)
        assert still["breaker_open"] >= sum(still.values()) - 3  # a probe each 1 s and its time-out
        assert errors_between(device, asked, 5 + PAUSE_S + 0.3, 7).keys() == {"none"}
        fast = [took for began, took, _ in asked if silent_until < began < 5]
        assert sorted(fast)[len(fast) * 9 // 10] < 0.2


def test_a_slow_tier_that_answers_some_in_time_does_not_open_the_breaker() -> None:
    tiers = ["device", "edge"]
    with (
        running(node_config("edge", None, 120, tiers=tiers)) as edge,  # 8 a second, and is asked 20
        running(node_config("device", edge.port, tiers=tiers)) as device,
    ):
        begin(ALL_UP, device)
        asked = asked_for(device, 5)
        check_each_once(device, asked)
        late = errors_between(device, asked, 0, 5)
        assert late.keys() == {"none", "deadline"}
        assert late["deadline"] > 20
        assert not any(record["tripped"] for record in records(device))


def test_an_error_of_a_tier_further_up_does_not_open_the_breaker_of_the_tier_between() -> None:
    with (
        parent(unwell) as (cloud, seen),
        running(node_config("edge", cloud)) as edge,
        running(node_config("device", edge.port)) as device,
    ):
        begin({**ALL_UP, "relay": ["edge"]}, device, edge)
        replies = [ask(device.port, f"n {n}", f"r{n}").json for n in range(3 * FAILURES)]
        assert {reply["recserve"]["tier"] for reply in replies} == {"device"}
        assert all(reply["recserve"]["degraded"] for reply in replies)
        assert len(seen.requests) == FAILURES
        assert [record["tripped"] for record in records(edge)].count(True) == 1
        assert not any(record["tripped"] for record in records(device))
        assert [record["forward_error"] for record in records(device)] == ["not_ready"] * FAILURES + [
            "breaker_open"
        ] * (2 * FAILURES)


def test_a_method_begins_with_a_breaker_that_has_seen_nothing() -> None:
    def refuse(_number: int, _connection: socket.socket) -> bool:
        return False

    with parent(refuse) as (above, seen), running(node_config("edge", above)) as edge:
        for _ in range(2):
            begin(ALL_UP, edge)
            for number in range(FAILURES + 2):
                ask(edge.port, f"n {number}", f"r{number}")
            errors = records(edge)
            assert [record["forward_error"] for record in errors] == ["unreachable"] * FAILURES + [
                "breaker_open"
            ] * 2
            assert [record["upstream_ms"] is None for record in errors] == [False] * FAILURES + [True] * 2
        assert len(seen.requests) == 2 * 2 * FAILURES


@contextmanager
def past_edge(edge_port: int) -> Iterator[tuple[Node, Node]]:
    """A device that may ask its cloud past its edge."""
    with (
        running(node_config("cloud", None)) as cloud,
        running(node_config("device", edge_port, past=f"{HOST}:{cloud.port}")) as device,
    ):
        yield device, cloud


def test_a_tier_that_cannot_be_reached_is_skipped_where_the_node_has_somebody_past_it() -> None:
    with past_edge(free_port()) as (device, cloud):
        begin(ALL_UP, device)
        replies = [ask(device.port, f"n {n}", f"r{n}").json["recserve"] for n in range(FAILURES + 2)]
        assert {reply["tier"] for reply in replies} == {"cloud"}
        assert {tuple(step["node"] for step in reply["path"]) for reply in replies} == {("device1", "cloud1")}
        assert not any("degraded" in reply for reply in replies)
        assert [record["skipped"] for record in records(device)] == ["unreachable"] * FAILURES + [
            "breaker_open"
        ] * 2
        assert {record["forward_error"] for record in records(device)} == {None}
        assert len(records(cloud)) == FAILURES + 2


def test_where_the_one_past_it_cannot_be_reached_either_the_best_answer_so_far_is_degraded() -> None:
    with running(node_config("device", free_port(), past=f"{HOST}:{free_port()}")) as device:
        begin(ALL_UP, device)
        replies = [ask(device.port, f"n {n}", f"r{n}").json["recserve"] for n in range(FAILURES + 1)]
        assert {(reply["tier"], reply["degraded"]) for reply in replies} == {("device", True)}
        found = [(record["skipped"], record["forward_error"]) for record in records(device)]
        assert found == [("unreachable", "unreachable")] * FAILURES + [("breaker_open", "breaker_open")]


def test_the_time_of_a_skipped_tiers_error_is_not_taken_for_that_of_an_answer() -> None:
    with (
        parent(unwell) as (edge, _),
        running(node_config("device", edge, past=f"{HOST}:{free_port()}")) as device,
    ):
        begin(ALL_UP, device)
        ask(device.port, "x", "r1")
        (found,) = records(device)
        assert (found["skipped"], found["forward_error"]) == ("not_ready", "unreachable")
        assert found["forward_answered_s"] is None


def test_neither_a_silent_tier_nor_the_one_that_alone_is_to_serve_is_skipped() -> None:
    gate = threading.Event()

    def silent(_number: int, _connection: socket.socket) -> bool:
        gate.wait(20)
        return False

    with parent(silent) as (edge, _), past_edge(edge) as (device, cloud):
        begin(ALL_UP, device)
        assert ask(device.port, "x", "r1", deadline_ms=500).json["recserve"]["tier"] == "device"
        gate.set()
        begin({"policy": "edge-only"}, device)
        assert ask(device.port, "x", "r2").json["error"]["type"] == "unreachable"
        begin({"policy": "cloud-only"}, device)
        assert ask(device.port, "x", "r3").json["recserve"]["tier"] == "cloud"
        assert [record["request_id"] for record in records(cloud)] == ["r3"]


def test_the_answer_of_the_middle_tier_gets_back_in_time_if_the_top_is_silent() -> None:
    gate = threading.Event()

    def silent(_number: int, connection: socket.socket) -> bool:
        gate.wait(20)
        connection.sendall(answer("positive"))
        return True

    with (
        parent(silent) as (cloud, _),
        running(node_config("edge", cloud, round_trip_s=0.1)) as edge,
        running(node_config("device", edge.port, round_trip_s=0.1)) as device,
    ):
        begin(ALL_UP, device, edge)
        began = time.monotonic()
        reply = ask(device.port, "x", "r1", deadline_ms=2000).json["recserve"]
        took = time.monotonic() - began
        gate.set()
    assert (reply["tier"], reply["degraded"]) == ("edge", True)
    assert [step["node"] for step in reply["path"]] == ["device1", "edge1"]
    assert took < 2


@pytest.mark.parametrize("remaining", [0.05, 1.0, 5.0, 30.0])
@pytest.mark.parametrize("round_trip", [0.0, 0.1, 3.0, 100.0])
def test_a_deadline_is_divided_so_that_answers_get_back_and_half_of_it_goes_up(
    remaining: float, round_trip: float
) -> None:
    give_up, told = divided(10 + remaining, 10, round_trip)
    assert 10 + remaining / 2 <= told < give_up < 10 + remaining
    assert give_up >= 10 + remaining - 0.1
    if round_trip < remaining / 3:
        assert told + round_trip < give_up
