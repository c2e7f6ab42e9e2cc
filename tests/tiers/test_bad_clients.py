"""Clients that send too much: what they cost a tier's server, a process of its own, is bounded.

Beside each of them others are served.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.corpus.served import Served, serving
from tests.tiers.clients import PROMPT, connected, may_open, post, rest_of
from tests.tiers.nodes import HOST, ask, prompt_body, wait_until
from tiers.protocol import COMPLETIONS_PATH
from tiers.wsgi import LIMITS, MAX_HEADER_BYTES

MANY_BYTES = 100 << 20
SLACK_BYTES = 60 << 20
"""What a server may take beside what its limits say."""


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with serving() as served:
        yield served


def cpu_ticks(server: Served) -> int:
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def pieces(total: int) -> Iterator[bytes]:
    for _ in range(total >> 20):
        yield b" " * (1 << 20)


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
def test_a_body_of_100_megabytes_is_refused_and_the_client_hears_why(server: Served, chunked: bool) -> None:
    before = server.memory_bytes()
    connection = HTTPConnection(HOST, server.port, timeout=30)
    fields = {} if chunked else {"Content-Length": str(MANY_BYTES)}
    # It sends all of it before it reads a byte.
    connection.request("POST", COMPLETIONS_PATH, pieces(MANY_BYTES), fields, encode_chunked=chunked)
    response = connection.getresponse()
    assert response.status == 413
    assert json.loads(response.read())["error"]["type"] == "invalid_request"
    assert server.memory_bytes("VmHWM") - before < SLACK_BYTES
    server.check_well()


def test_who_waits_for_leave_to_send_too_much_is_refused_without_it(server: Served) -> None:
    with connected(server.port) as client:
        client.sendall(post(b"", "Expect: 100-continue", length=MANY_BYTES))
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 413 ")


def test_who_waits_for_leave_to_send_a_body_gets_it(server: Served) -> None:
    body = prompt_body("good")
    with connected(server.port) as client:
        client.sendall(post(b"", "Expect: 100-continue", length=len(body)))
        assert client.recv(1 << 16) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


def test_bodies_that_do_not_end_are_held_up_to_a_limit_and_the_oldest_are_given_up(server: Served) -> None:
    before = server.memory_bytes()
    begun = post(b" " * (900 << 10), length=1 << 20)
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(server.port)) for _ in range(150)]
        for client in clients:
            client.sendall(begun)
        assert server.memory_bytes() - before < LIMITS.held_bytes + SLACK_BYTES
        server.check_well()
        assert rest_of(clients[0]).startswith(b"HTTP/1.1 503 ")
        clients[-1].sendall(b" " * (124 << 10))  # the youngest may end it still
        assert clients[-1].recv(1 << 16).startswith(b"HTTP/1.1 400 ")


def test_thousands_of_idle_connections_and_hundreds_of_halves_take_little(server: Served) -> None:
    may_open(4000)
    before = server.memory_bytes()
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(server.port)) for _ in range(3000)]
        for number, client in enumerate(clients[::10]):
            client.sendall(PROMPT[: number % len(PROMPT)])
        server.check_well()
        assert server.memory_bytes() - before < SLACK_BYTES
        for number, client in enumerate(clients[::10]):
            client.sendall(PROMPT[number % len(PROMPT) :])  # none is lost: each may end its request
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


def test_pipelined_requests_are_answered_in_order(server: Served) -> None:
    count = 500
    sent = b"".join(post(prompt_body("good"), f"X-Request-Id: p{number}") for number in range(count))
    with connected(server.port) as client:
        sending = threading.Thread(target=client.sendall, args=(sent,))
        sending.start()
        server.check_well()
        came = b""
        while came.count(b'"id":"p') < count:
            came += client.recv(1 << 16)
        sending.join()
    ids = [part.partition(b'"')[0].decode() for part in came.split(b'"id":"')[1:]]
    assert ids == [f"p{number}" for number in range(count)]


def test_who_asks_on_and_on_and_takes_no_answer_is_no_longer_read(server: Served) -> None:
    before = server.memory_bytes()
    with connected(server.port, timeout_s=2) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sent = PROMPT * 500_000
        with pytest.raises(TimeoutError):
            client.sendall(sent)
        server.check_well()
        assert server.memory_bytes() - before < SLACK_BYTES


def test_a_deadline_of_15_nines_is_as_long_as_any_can_be(server: Served) -> None:
    assert ask(server.port, "good", deadline_ms=10**15 - 1, timeout_s=30).status == 200
    server.check_well()


def test_a_head_without_end_is_refused(server: Served) -> None:
    with connected(server.port) as client:
        client.sendall(b"GET /health HTTP/1.1\r\n" + b"X: y\r\n" * MAX_HEADER_BYTES)
        assert rest_of(client).startswith(b"HTTP/1.0 431 ")
    server.check_well()


def test_lists_of_lists_and_chunks_of_a_byte_take_bounded_memory(server: Served) -> None:
    before = server.memory_bytes()
    lists = b'{"messages":[' + b"[]," * (340 << 10) + b"[]]}"
    in_chunks = post(None, "Transfer-Encoding: chunked") + b"1\r\n \r\n" * (340 << 10) + b"0\r\n\r\n"
    with ThreadPoolExecutor(8) as crowd, connected(server.port) as client:
        statuses = crowd.map(lambda _: ask(server.port, lists).status, range(8))
        server.check_well()
        assert list(statuses) == [400] * 8
        client.sendall(in_chunks)
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 400 ")
    assert server.memory_bytes("VmHWM") - before < 4 * SLACK_BYTES


def test_an_urgent_byte_keeps_the_server_from_nothing(server: Served) -> None:
    with connected(server.port) as client:
        client.send(b"!", socket.MSG_OOB)
        client.sendall(PROMPT)
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        client.send(b"!", socket.MSG_OOB)
        server.check_well()
        before = cpu_ticks(server)
        with pytest.raises(AssertionError):
            wait_until(lambda: cpu_ticks(server) > before + 20, seconds=1)  # 0.2 s: it spins
    server.check_well()
