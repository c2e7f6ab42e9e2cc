"""A tier's server beside clients that send too slowly, and below a tier that answers something else."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest

from tests.corpus.served import serving
from tests.tiers.nodes import HOST, ask, node_config, records, running
from tests.tiers.parents import parent

SLOW_SENDERS = 200
BEGINNINGS = {
    "no byte": b"",
    "half a start line": b"POST /v1/ch",
    "half a head": b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n",
    "half a body": b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n" + b" " * 100_000,
    "half a chunk": b"POST /v1/chat/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n     ",
}


def test_clients_that_never_end_their_requests_keep_nobody_from_being_served() -> None:
    with serving() as server, ExitStack() as stack:
        for number in range(SLOW_SENDERS):
            slow = stack.enter_context(socket.create_connection((HOST, server.port), timeout=30))
            slow.sendall([*BEGINNINGS.values()][number % len(BEGINNINGS)])
        server.check_well()


def nested(depth: int) -> bytes:
    return b'{"recserve":{"path":' + b"[" * depth + b"]" * depth + b"}}"


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"NaN", b"\xff", b'{"recserve":5}', b'{"recserve":{"path":5}}', nested(100_000)],
    ids=["nothing", "a list", "nan", "invalid UTF-8", "a number", "a path that is a number", "nested"],
)
@pytest.mark.parametrize("status", [200, 500])
def test_what_a_tier_above_sends_is_an_upstream_error_where_it_is_no_answer(body: bytes, status: int) -> None:
    def strange(_number: int, connection: socket.socket) -> bool:
        connection.sendall(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body)
        return True

    with (
        parent(strange) as (above, _),
        running(node_config("edge", above, policy={"policy": "cloud-only"})) as edge,
    ):
        ask(edge.port, "good")
        (record,) = records(edge)
    assert record["outcome"] == "upstream"
