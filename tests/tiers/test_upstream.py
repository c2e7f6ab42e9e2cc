"""The way up: connections, repeats, what is said when the tier above fails, and single segments."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from tests.tiers.nodes import (
    HOST,
    ask,
    begin,
    call,
    chain,
    free_port,
    node_config,
    prompt_body,
    records,
    running,
    wait_until,
)
from tests.tiers.parents import answer, answering, parent, read_message, segments_in
from tiers.server import Node

ALL_UP = {"policy": "casserve", "thresholds": {"device": 1.0, "edge": 1.0}}
RELAY = {"policy": "cloud-only"}


def disconnect(node: Node) -> None:
    assert call(node.port, "POST", "/control/disconnect").status == 200


def test_requests_share_a_kept_alive_connection_until_told_to_close_it() -> None:
    with parent(answering()) as (above, seen), running(node_config("edge", above)) as edge:
        begin(RELAY, edge)
        for number in range(5):
            assert ask(edge.port, f"n {number}").status == 200
        assert seen.connections == 1
        disconnect(edge)
        assert ask(edge.port, "again").status == 200
        assert seen.connections == 2


def test_disconnecting_sends_fin_on_idle_connections() -> None:
    closed = threading.Event()

    def behave(_number: int, connection: socket.socket) -> bool:
        connection.sendall(answer("positive"))
        assert connection.recv(1) == b""
        closed.set()
        return False

    with parent(behave) as (above, _), running(node_config("edge", above)) as edge:
        begin(RELAY, edge)
        ask(edge.port, "x")
        assert not closed.is_set()
        disconnect(edge)
        assert closed.wait(2)


def test_open_connections_are_bounded() -> None:
    gate = threading.Event()

    def behave(_number: int, connection: socket.socket) -> bool:
        assert gate.wait(10)
        connection.sendall(answer("positive"))
        return True

    with parent(behave) as (above, seen), running(node_config("edge", above, request_threads=3)) as edge:
        begin(RELAY, edge)
        with ThreadPoolExecutor(9) as crowd:
            asked = [crowd.submit(ask, edge.port, f"n {number}") for number in range(9)]
            wait_until(lambda: len(edge.server.threads.queue) == 6)
            gate.set()
            assert [answer.result().status for answer in asked] == [200] * 9
        assert seen.connections == 3


def test_a_connection_closed_before_a_byte_of_answer_is_tried_once_more() -> None:
    def behave(number: int, connection: socket.socket) -> bool:
        if number == 0:
            return False
        connection.sendall(answer("positive"))
        return True

    with parent(behave) as (above, seen), running(node_config("edge", above)) as edge:
        begin(RELAY, edge)
        assert ask(edge.port, "twice", "r1").text == "positive"
        assert len(seen.requests) == 2
        bodies = [request.partition(b"\r\n\r\n")[2] for request in seen.requests]
        assert bodies == [prompt_body("twice")] * 2
        assert records(edge)[0]["repeats"] == 1


def test_a_reset_connection_counts_as_closed_and_two_are_enough() -> None:
    def behave(_number: int, connection: socket.socket) -> bool:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        return False

    with parent(behave) as (above, seen), running(node_config("edge", above)) as edge:
        begin(RELAY, edge)
        refused = ask(edge.port, "x", "r1")
        assert (refused.status, refused.json["error"]["type"]) == (502, "unreachable")
        assert len(seen.requests) == 2
        assert records(edge)[0]["repeats"] == 1
        assert records(edge)[0]["outcome"] == "unreachable"


@pytest.mark.parametrize("part", [b"H", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", b"SMTP\r\n\r\n"])
def test_an_answer_that_breaks_off_is_no_reason_to_ask_again(part: bytes) -> None:
    def behave(_number: int, connection: socket.socket) -> bool:
        connection.sendall(part)
        return False

    with parent(behave) as (above, seen), running(node_config("edge", above)) as edge:
        begin(RELAY, edge)
        broken = ask(edge.port, "x", "r1")
        assert (broken.status, broken.json["error"]["type"]) == (502, "upstream")
        assert len(seen.requests) == 1
        begin(ALL_UP, edge)
        assert ask(edge.port, "x", "r2").json["recserve"]["tier"] == "edge"
        assert records(edge)[0]["forward_error"] == "upstream"


def test_an_answer_that_trickles_in_is_not_waited_for_past_the_deadline() -> None:
    def behave(_number: int, connection: socket.socket) -> bool:
        whole = answer("positive")
        with suppress(OSError):
            for start in range(0, len(whole), 20):
                connection.sendall(whole[start : start + 20])
                time.sleep(0.25)
        return False

    with parent(behave) as (above, _), running(node_config("edge", above)) as edge:
        begin(ALL_UP, edge)
        assert ask(edge.port, "x", "r1", deadline_ms=1000).json["recserve"]["tier"] == "edge"
        assert records(edge)[0]["forward_error"] == "deadline"


def test_a_stale_connection_is_replaced_without_a_repeat() -> None:
    def behave(_number: int, connection: socket.socket) -> bool:
        connection.sendall(answer("positive"))
        return False

    with parent(behave) as (above, seen), running(node_config("edge", above)) as edge:
        begin(RELAY, edge)
        for number in range(3):
            assert ask(edge.port, f"n {number}").status == 200
            time.sleep(0.05)
        assert (len(seen.requests), seen.connections) == (3, 3)
        assert [record["repeats"] for record in records(edge)] == [0, 0, 0]


def test_without_a_tier_above_the_best_answer_so_far_returns_and_a_relay_says_unreachable() -> None:
    with running(node_config("device", free_port())) as device:
        begin(ALL_UP, device)
        best = ask(device.port, "alone", "r1")
        assert best.status == 200
        assert best.json["recserve"]["tier"] == "device"
        (record,) = records(device)
        assert (record["kept"], record["outcome"]) == (False, "answered")
        assert record["forward_error"] == "unreachable"
        begin(RELAY, device)
        nothing = ask(device.port, "alone", "r2")
        assert (nothing.status, nothing.json["error"]["type"]) == (502, "unreachable")
        assert (records(device)[0]["outcome"], records(device)[0]["forward_error"]) == ("unreachable",) * 2


def test_an_error_further_up_comes_down_under_its_own_name_and_may_be_tried_again() -> None:
    with chain() as (device, edge, cloud):
        begin(RELAY, device, edge, cloud)
        bad = ask(device.port, b'{"messages": []}', "bad")
        assert (bad.status, bad.json["error"]["type"]) == (400, "invalid_request")
        again = ask(device.port, b'{"messages": []}', "bad")
        assert again.status == 400
        assert [record["outcome"] for record in records(device)] == ["invalid_request"]


def test_each_message_up_is_one_segment_with_no_header_that_nobody_asked_for() -> None:
    with parent(answering()) as (above, seen), running(node_config("edge", above)) as edge:
        begin(RELAY, edge)
        for number in range(4):
            ask(edge.port, "word " * 40, f"r{number}")
        assert seen.segments == [1, 1, 1, 1]
        head = seen.requests[0].partition(b"\r\n\r\n")[0]
        names = sorted(line.partition(b":")[0].decode() for line in head.split(b"\r\n")[1:])
        assert names == ["Content-Length", "Content-Type", "Host", "X-Deadline-Ms", "X-Request-Id"]


def test_each_answer_is_one_segment_with_headers_of_constant_length() -> None:
    with (
        running(node_config("cloud", None)) as cloud,
        socket.create_connection((HOST, cloud.port), timeout=10) as client,
    ):
        heads = []
        for number, body in enumerate([prompt_body("x"), prompt_body("ü" * 300), b"{", prompt_body("x")]):
            before = segments_in(client)
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: c\r\nX-Request-Id: r{number}\r\n"
            client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            reply = read_message(client)
            assert segments_in(client) - before == 1
            heads.append(reply.partition(b"\r\n\r\n")[0])
        assert len(heads[0]) == len(heads[1]) == len(heads[3])
        names = [line.partition(b":")[0] for line in heads[0].split(b"\r\n")[1:]]
        assert names == [b"Content-Length", b"Content-Type", b"Date"]


def test_what_is_not_http_is_refused_in_one_segment_of_json() -> None:
    with (
        running(node_config("cloud", None)) as cloud,
        socket.create_connection((HOST, cloud.port), timeout=10) as client,
    ):
        client.sendall(b"HELO\r\n\r\n")
        reply = read_message(client)
        assert reply.startswith(b"HTTP/1.")
        assert b'{"error":{"type":"invalid_request"' in reply
        assert segments_in(client) == 1


@pytest.mark.parametrize(
    ("started_with_s", "told_later", "ended"),
    [
        (0.0, {}, "unreachable"),
        (6.0, {}, "answered"),
        (0.0, {"round_trip_s": 6.0}, "answered"),
        (6.0, {"round_trip_s": 0.0}, "unreachable"),
    ],
)
def test_a_handshake_may_take_as_much_longer_as_the_link_s_round_trip(
    started_with_s: float, told_later: dict[str, float], ended: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tiers.upstream.CONNECT_S", 0.3)

    def serve(listener: socket.socket, fillers: list[socket.socket]) -> None:
        time.sleep(0.7)  # until then the queue of connections is full, and the kernel drops each further SYN
        with suppress(OSError):
            for filler in fillers:
                filler.close()
                listener.accept()[0].close()
            connection, _ = listener.accept()
            if read_message(connection):
                connection.sendall(answer("positive"))

    with socket.create_server((HOST, 0), backlog=0) as listener:
        listener.settimeout(4)
        above = listener.getsockname()[1]
        fillers = [socket.create_connection((HOST, above), 5)]
        server = threading.Thread(target=serve, args=(listener, fillers), daemon=True)
        with running(node_config("edge", above, round_trip_s=started_with_s)) as edge:
            begin(RELAY, edge, **told_later)
            server.start()
            ask(edge.port, "x", "r1")
            assert records(edge)[0]["outcome"] == ended
        server.join(15)
