"""A tier's server beside clients that send too slowly, and below a tier that answers something else."""

from __future__ import annotations

import gzip
import json
import socket
from contextlib import ExitStack, suppress

import pytest

from tests.corpus.served import serving
from tests.tiers.nodes import HOST, ask, begin, node_config, records, records_at, running
from tests.tiers.parents import Behaviour, answer, parent
from tiers.protocol import MAX_ANSWER_BYTES

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


STRANGE = {
    "nothing": b"",
    "a list": b"[]",
    "nan": b"NaN",
    "invalid UTF-8": b"\xff",
    "a number": b'{"recserve":5}',
    "a path that is a number": b'{"recserve":{"path":5}}',
    "a number of 5000 digits": b'{"recserve":{"path":[' + b"9" * 5000 + b"]}}",
    "half a surrogate pair": b'{"recserve":{"path":["\\ud800"]}}',
    "nested": nested(100_000),
    "nested as deep as can be read": nested(985),
}
CODED = {
    "gzip of 200 MB": gzip.compress(b" " * (200 << 20), 1),
    "gzip of an answer": gzip.compress(answer("positive").partition(b"\r\n\r\n")[2]),
}
OWN = {"policy": "casserve", "thresholds": {"edge": 1.0}}
RELAY = {"policy": "cloud-only"}


def sending(status: int, body: bytes, fields: bytes = b"") -> Behaviour:
    def strange(_number: int, connection: socket.socket) -> bool:
        head = b"HTTP/1.1 %d X\r\n%sContent-Length: %d\r\n\r\n"
        connection.sendall(head % (status, fields, len(body)) + body)
        return True

    return strange


def endless(_number: int, connection: socket.socket) -> bool:
    connection.sendall(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n")
    with suppress(OSError):
        while True:
            connection.sendall(b"100000\r\n" + b" " * (1 << 20) + b"\r\n")
    return False


@pytest.mark.parametrize("body", STRANGE.values(), ids=STRANGE)
@pytest.mark.parametrize("status", [200, 500])
def test_what_a_tier_above_sends_is_an_upstream_error_where_it_is_no_answer(body: bytes, status: int) -> None:
    with (
        parent(sending(status, body)) as (above, _),
        running(node_config("edge", above, policy=RELAY)) as edge,
    ):
        ask(edge.port, "good")
        (record,) = records(edge)
        assert record["outcome"] == "upstream"
        begin(OWN, edge)  # and where the node has an answer of its own, that is not lost by it
        assert ask(edge.port, "good", "longer-than-12-characters").json["recserve"]["tier"] == "edge"
        assert records(edge)[0]["forward_error"] == "upstream"


@pytest.mark.parametrize("said", [None, 7, ["positive"], {"text": "positive"}])
def test_an_answer_from_above_that_is_no_text_is_malformed_and_never_passed_on(said: object) -> None:
    body = answer("TEXT").partition(b"\r\n\r\n")[2].replace(b'"TEXT"', json.dumps(said).encode())
    with (
        parent(sending(200, body)) as (above, _),
        running(node_config("edge", above, policy=RELAY)) as edge,
    ):
        refused = ask(edge.port, "good")
        assert (refused.status, refused.json["error"]["type"]) == (502, "malformed")
        begin(OWN, edge)
        assert ask(edge.port, "good", "longer-than-12-characters").json["recserve"]["tier"] == "edge"
        assert records(edge)[0]["forward_error"] == "malformed"


def test_an_error_from_above_that_calls_itself_answered_is_an_error() -> None:
    body = b'{"error":{"type":"answered","message":"","param":null,"code":null}}'
    with (
        parent(sending(500, body)) as (above, _),
        running(node_config("edge", above, policy=RELAY)) as edge,
    ):
        assert ask(edge.port, "good").status == 502
        assert records(edge)[0]["outcome"] == "upstream"


@pytest.mark.parametrize("depth", range(100, 1000, 50))
def test_an_answer_is_passed_on_or_replaced_however_deep_it_is(depth: int) -> None:
    body = b'{"recserve":{"path":[]},"x":' + b"[" * depth + b"]" * depth + b"}"
    with (
        parent(sending(200, body)) as (above, _),
        running(node_config("edge", above, policy=OWN)) as edge,
    ):
        assert ask(edge.port, "good", "longer-than-12-characters").status == 200


@pytest.mark.parametrize("name", [*CODED, "an answer without end"])
def test_what_a_tier_above_sends_takes_bounded_memory(name: str) -> None:
    behaviour = endless if name not in CODED else sending(200, CODED[name], b"Content-Encoding: gzip\r\n")
    with parent(behaviour) as (above, seen), serving("edge", above, policy=OWN) as edge:
        before = edge.memory_bytes()
        for number in range(3):
            assert ask(edge.port, f"n {number}").json["recserve"]["tier"] == "edge"
        found = records_at(edge.port)
        assert [record["forward_error"] for record in found] == ["upstream"] * 3
        assert seen.connections == 3  # what it had not read was not taken for the next answer
        assert edge.memory_bytes("VmHWM") - before < 6 * MAX_ANSWER_BYTES
