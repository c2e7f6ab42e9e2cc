"""How long a tier's server waits for clients that are slow, silent or gone, and what it keeps of them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from io import BytesIO

import pytest
from flask import Flask, Response

from tests.tiers.clients import (
    PROMPT,
    connected,
    impatient,
    is_closed,
    post,
    reset,
    rest_of,
    wait_idle,
)
from tests.tiers.nodes import HOST, ask, prompt_body, wait_until
from tests.tiers.parents import read_message
from tiers.connections import Connection, Limits
from tiers.protocol import DEADLINE_HEADER
from tiers.wsgi import MAX_UNREAD_BYTES, Server

SOON = Limits(head_s=0.4, pause_s=0.4, whole_s=1.2, linger_s=0.4)
BODY = prompt_body("good")
ANSWER_BYTES = 7 << 20
"""More than the kernel takes of an answer that nobody reads, and less than a model may give."""
HOUR = f"{DEADLINE_HEADER}: 3600000"


def drip(client: socket.socket, sent: bytes, every_s: float) -> None:
    """Send a byte at a time, until the server has enough of it."""
    with suppress(OSError):
        for at in range(len(sent)):
            client.sendall(sent[at : at + 1])
            time.sleep(every_s)


@pytest.mark.parametrize(
    "sent",
    [b"P", PROMPT[:40], post(b" " * 100, length=200), post(None, "Transfer-Encoding: chunked") + b"ff\r\n  "],
    ids=["a byte", "half a head", "half a body", "half a chunk"],
)
def test_a_request_that_stops_halfway_is_refused_and_closed(sent: bytes) -> None:
    with impatient(SOON) as (server, _), connected(server.port) as client:
        client.sendall(sent)
        assert ask(server.port, "good").status == 200
        assert rest_of(client).split(b" ")[1] == b"408"


@pytest.mark.parametrize("head", [b"", post(b"", length=1000)], ids=["head", "body"])
def test_a_byte_now_and_then_does_not_keep_a_request_alive(head: bytes) -> None:
    with impatient(SOON) as (server, _), connected(server.port) as client:
        client.sendall(head)
        dripping = threading.Thread(target=drip, args=(client, PROMPT, 0.05))
        dripping.start()
        assert ask(server.port, "good").status == 200
        assert rest_of(client).split(b" ")[1] == b"408"
        dripping.join()


def test_a_body_may_pause_until_the_deadline_that_its_head_says() -> None:
    with impatient(replace(SOON, whole_s=60)) as (server, _), connected(server.port) as client:
        client.sendall(post(BODY, f"{DEADLINE_HEADER}: 60000")[:-1])
        time.sleep(3 * SOON.pause_s)
        client.sendall(BODY[-1:])
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


def test_a_body_over_a_slow_link_may_take_until_the_deadline_that_its_head_says() -> None:
    with impatient(SOON) as (server, _), connected(server.port) as client:
        head, body = post(BODY, f"{DEADLINE_HEADER}: 60000").split(b"\r\n\r\n")
        client.sendall(head + b"\r\n\r\n")
        drip(client, body, 2 * SOON.whole_s / len(body))
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


def test_a_body_may_not_pause_until_a_deadline_later_than_a_whole_body_may_be() -> None:
    with impatient(SOON) as (server, _), connected(server.port) as client:
        client.sendall(post(BODY, HOUR)[:-1])
        assert rest_of(client).split(b" ")[1] == b"408"


@pytest.mark.parametrize(
    ("sent", "most_s", "status"),
    [
        (PROMPT[:40], 30, [b"408"]),
        (post(BODY)[:-1], 60, [b"408"]),
        (post(BODY, f"{DEADLINE_HEADER}: 300000")[:-1], 300, [b"408"]),
        (post(BODY, HOUR)[:-1], 600, [b"408"]),
        (b"", 3600, []),
    ],
    ids=["head", "body", "body with a deadline", "body with a late deadline", "nothing"],
)
def test_by_default_what_is_not_ended_is_held_for_minutes(
    sent: bytes, most_s: float, status: list[bytes]
) -> None:
    with impatient(Limits()) as (server, _), connected(server.port) as client:
        client.sendall(sent)
        (channel,) = wait_for_channels(server)
        wait_until(lambda: channel.is_idle != bool(sent))
        since_s = channel.moved_s
        channel.check(since_s + most_s - 1)
        assert server.channels == [channel]
        assert channel.is_idle != bool(sent)
        channel.check(since_s + most_s + 1)
        assert rest_of(client).split(b" ")[1:2] == status


def test_by_default_an_answer_is_held_for_ten_minutes_however_late_its_deadline() -> None:
    long = {"kind": "classification", "labels": ["x" * ANSWER_BYTES, "y" * ANSWER_BYTES]}
    with impatient(Limits(), task=long) as (server, _), connected(server.port) as client:
        client.sendall(post(BODY, HOUR))
        (channel,) = wait_for_channels(server)
        wait_until(lambda: channel.total_outbufs_len > 0)
        wait_idle(server)
        channel.check(channel.moved_s + 599)
        assert server.channels == [channel]
        channel.check(channel.moved_s + 601)
        wait_until(lambda: not server.channels)


def test_a_connection_without_a_request_is_left_alone_for_long_and_then_closed() -> None:
    with (
        impatient(SOON) as (server, _),
        impatient(Limits(idle_s=0.3, pause_s=0.3)) as (hasty, _),
        connected(server.port) as kept,
        connected(server.port) as used,
        connected(hasty.port) as closed,
    ):
        used.sendall(PROMPT)
        assert read_message(used)
        closed.sendall(PROMPT)
        assert read_message(closed)
        assert rest_of(closed) == b""
        time.sleep(2 * SOON.whole_s)
        for client in (kept, used):
            client.sendall(PROMPT)
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


def test_a_request_may_be_served_for_longer_than_its_client_may_take_to_send_it() -> None:
    slow = {"kind": "recorded", "default": {"service_ms": 2000 * SOON.whole_s}}
    with impatient(SOON, model=slow) as (server, _), connected(server.port) as client:
        client.sendall(PROMPT + PROMPT[:20])  # what came of the next one waits, and is not held against it
        assert read_message(client).startswith(b"HTTP/1.1 200 ")
        client.sendall(PROMPT[20:])
        assert read_message(client).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_is_refused_and_sends_on_is_cut_off() -> None:
    with impatient(SOON) as (server, _), connected(server.port) as client:
        client.sendall(b"HELO\r\n\r\n")
        assert rest_of(client).startswith(b"HTTP/1.0 400 ")  # and no more will come
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            wait_until(lambda: client.sendall(b"x"), 5)


def test_a_client_that_is_gone_gets_its_answer_kept_and_holds_no_thread() -> None:
    slow = {"kind": "recorded", "default": {"service_ms": 300}}
    with impatient(SOON, model=slow) as (server, service):
        wait_idle(server)
        client = connected(server.port)
        client.sendall(post(BODY, "X-Request-Id: gone"))
        wait_until(lambda: server.threads.active_count == 1)
        reset(client)
        wait_idle(server)
        (record,) = service.method.records.all()
        assert (record.request_id, record.outcome, record.inferred) == ("gone", "answered", True)
        assert ask(server.port, "good", "gone").status == 200
        assert len(service.method.records.all()) == 1  # from what the node had: nothing was inferred again


def test_an_answer_that_nobody_takes_is_dropped_with_its_connection() -> None:
    long = {"kind": "classification", "labels": ["x" * ANSWER_BYTES, "y" * ANSWER_BYTES]}
    with impatient(SOON, task=long) as (server, _), connected(server.port) as client:
        client.sendall(PROMPT)
        (channel,) = wait_for_channels(server)
        wait_until(lambda: channel.total_outbufs_len > 0)
        wait_idle(server)
        wait_until(lambda: not server.channels)
        assert channel.total_outbufs_len == 0
        assert len(rest_of(client)) < ANSWER_BYTES


def test_a_long_answer_is_kept_in_memory_while_it_is_taken() -> None:
    long = {"kind": "classification", "labels": ["x" * ANSWER_BYTES, "y" * ANSWER_BYTES]}
    with impatient(Limits(), task=long) as (server, _), connected(server.port) as client:
        client.sendall(PROMPT)
        (channel,) = wait_for_channels(server)
        wait_until(lambda: channel.total_outbufs_len > 0)
        assert isinstance(channel.outbufs[0].getfile(), BytesIO)  # no file: a container has no room for it
        assert len(read_message(client)) > ANSWER_BYTES


def wait_for_channels(server: Server) -> list[Connection]:
    wait_until(lambda: server.channels)
    return server.channels


@contextmanager
def streaming(limits: Limits, written: list[int]) -> Iterator[Server]:
    """A server of endless streams, which notes how many bytes each piece had."""
    app = Flask("streams")

    @app.get("/health")
    def health() -> str:
        return "ok"

    @app.get("/")
    def stream() -> Response:
        def pieces() -> Iterator[bytes]:
            try:
                while True:
                    written.append(1 << 16)
                    yield b" " * (1 << 16)
            finally:
                written.append(-1)

        return Response(pieces())

    server = Server(app, HOST, 0, 4, limits)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join(5)


@pytest.mark.parametrize("leaves", [False, True], ids=["reads nothing", "leaves"])
def test_a_stream_that_nobody_reads_stops_and_is_ended(leaves: bool) -> None:
    written: list[int] = []
    with streaming(SOON, written) as server, connected(server.port) as client:
        wait_idle(server)
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        (channel,) = wait_for_channels(server)
        if leaves:
            assert client.recv(1000)
            reset(client)
        else:
            wait_until(lambda: channel.total_outbufs_len > MAX_UNREAD_BYTES)
            assert channel.total_outbufs_len < 2 * MAX_UNREAD_BYTES
        wait_idle(server)
        assert written[-1] == -1  # whoever made it was told


def test_who_comes_when_all_connections_are_taken_gets_the_longest_idle_one_s() -> None:
    slow = {"kind": "recorded", "default": {"service_ms": 500}}
    with impatient(Limits(connections=20), model=slow) as (server, _), ExitStack() as stack:
        busy, *idle = [stack.enter_context(connected(server.port)) for _ in range(20)]
        busy.sendall(PROMPT)
        wait_until(lambda: len(server.channels) == 20)
        for _ in range(3):
            late = stack.enter_context(connected(server.port, 20))
            late.sendall(PROMPT)
            assert read_message(late).startswith(b"HTTP/1.1 200 ")
        wait_until(lambda: all(is_closed(client) for client in idle[:3]))
        assert not any(is_closed(client) for client in idle[3:])
        busy.settimeout(20)
        assert read_message(busy).startswith(b"HTTP/1.1 200 ")


def test_halves_of_requests_make_room_too() -> None:
    with impatient(Limits(connections=20)) as (server, _), ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(connected(server.port)).sendall(PROMPT[:30])
        assert ask(server.port, "good").status == 200
