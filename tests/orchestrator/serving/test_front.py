"""The front door passes requests on unchanged, and keeps other sites' pages out; before a real node."""

from __future__ import annotations

import gzip
import json
import logging
import re
import select
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from testbed.host.processes.waiting import wait_until
from testbed.orchestrator.replay.ended import Ended
from testbed.orchestrator.serving import proxy
from testbed.orchestrator.serving.address import bind
from testbed.orchestrator.serving.callers import MOST_SILENT
from testbed.orchestrator.serving.front import FILES, PAGE, Front
from testbed.orchestrator.serving.proxy import MAX_BODY_BYTES, node_session, prompt_of
from testbed.orchestrator.serving.ways import Ways
from testbed.orchestrator.serving.wires import Stillness
from testbed.scenario.scenario import load_scenario
from testbed.scenario.topology import Topology
from tests import SCENARIOS
from tests.tiers.nodes import node_config, running
from tiers.connections import Limits
from tiers.protocol import COMPLETIONS_PATH, REQUEST_ID_HEADER
from tiers.server import Node

Answer = tuple[int, dict[str, str], bytes]
HOST = "127.0.0.1"
CHAT_HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@dataclass
class NoWires:
    """The links of a scenario of one tier, which has none."""

    topology: Topology

    def carried(self) -> dict[str, tuple[int, int]]:
        return {}

    waiting = carried

    def still(self) -> Stillness:
        return Stillness((), {})


def one_tier(tmp_path: Path) -> Topology:
    text = (SCENARIOS / "smoke.yaml").read_text()
    lines = [
        line for line in text.splitlines() if not re.search("name: (edge|cloud|access|core)|links:", line)
    ]
    path = tmp_path / "one.yaml"
    path.write_text("\n".join(lines).replace("recserve, beta: 0.3, window: 10000", "device-only"))
    return load_scenario(path).topology


@contextmanager
def opened(
    ports: Sequence[int], topology: Topology, records: Mapping[str, Any]
) -> Iterator[tuple[int, Ways]]:
    """A front door before nodes at these loopback ports; its own port."""
    wires = NoWires(topology)
    ways = Ways("device-only", wires, lambda _id: records, keep_all=True)
    devices = [f"device{number}" for number, _ in enumerate(ports, 1)]
    sessions = {
        name: partial(node_session, f"http://{HOST}:{port}")
        for name, port in zip(devices, ports, strict=True)
    }
    listening, _ = bind(HOST, None)
    with listening, Front(listening, sessions, devices, ways, wires, {"scenario": "one"}, HOST):
        yield listening.getsockname()[1], ways


@pytest.fixture
def node() -> Iterator[Node]:
    with running(node_config("device", None) | {"tiers": ["device"]}) as made:
        yield made


@pytest.fixture
def front(node: Node, tmp_path: Path) -> Iterator[int]:
    with opened([node.port], one_tier(tmp_path), {}) as (port, _):
        yield port


def ask(
    port: int, verb: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    connection = HTTPConnection(HOST, port, timeout=20)
    try:
        connection.request(verb, path, body, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def chat(prompt: str) -> bytes:
    return json.dumps({"model": "tier", "messages": [{"role": "user", "content": prompt}]}).encode()


def test_an_answer_is_the_nodes_to_the_byte(node: Node, front: int) -> None:
    headers = {"Content-Type": "application/json", REQUEST_ID_HEADER: "r1"}
    first = ask(front, "POST", COMPLETIONS_PATH, chat("a film"), headers)
    again = ask(
        node.port, "POST", COMPLETIONS_PATH, chat("a film"), headers
    )  # a repeated id: the same answer
    assert first[0] == again[0] == 200
    assert first[2] == again[2]
    assert first[1]["content-type"] == again[1]["content-type"]
    assert "server" not in first[1]


@pytest.mark.parametrize(
    ("verb", "path", "body"),
    [
        ("GET", "/v1/models", None),
        ("GET", "/v1/models/nobody", None),
        ("GET", "/openapi.json", None),
        ("GET", "/v1/nothing?x=%20", None),
        ("DELETE", COMPLETIONS_PATH, None),
        ("POST", COMPLETIONS_PATH, b"{"),
        ("POST", COMPLETIONS_PATH, b"\xff\xfe"),
        ("POST", COMPLETIONS_PATH, b""),
        ("POST", COMPLETIONS_PATH, json.dumps({"messages": []}).encode()),
        ("POST", COMPLETIONS_PATH, b"[" * 100_000),
        ("POST", COMPLETIONS_PATH, b'{"a":' * 9_900 + b'"\\u0061"' + b"}" * 9_900),
    ],
)
def test_errors_and_models_are_the_nodes_too(
    node: Node, front: int, verb: str, path: str, body: bytes | None
) -> None:
    through, direct = (ask(port, verb, path, body) for port in (front, node.port))
    assert through[0] == direct[0]
    assert through[2] == direct[2]


def test_a_body_that_no_node_would_read_is_refused_as_a_node_refuses(front: int) -> None:
    status, _, body = ask(front, "POST", COMPLETIONS_PATH, b" " * (MAX_BODY_BYTES + 1))
    assert status == 413
    assert json.loads(body)["error"]["type"] == "invalid_request"
    assert ask(front, "POST", COMPLETIONS_PATH, chat("and it goes on"))[0] == 200


def test_a_compressed_body_is_the_nodes_to_refuse(node: Node, front: int) -> None:
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    for body in (b"no gzip at all", gzip.compress(chat("a film"))):
        through, direct = (ask(port, "POST", COMPLETIONS_PATH, body, headers) for port in (front, node.port))
        assert through[0] == direct[0] == 415
        assert through[2] == direct[2]


def answer_to(peer: socket.socket) -> bytes:
    return b"".join(iter(partial(peer.recv, 65536), b""))


@pytest.mark.parametrize(
    "sent",
    [b"", b"POST /v1/ch", CHAT_HEAD + b"Content-Length: 100\r\n\r\n{"],
    ids=["nothing", "head", "body"],
)
def test_who_does_not_end_a_request_is_not_waited_for(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(proxy, "LIMITS", Limits(head_s=0.4, pause_s=0.4, linger_s=0.4))
    with (
        opened([node.port], one_tier(tmp_path), {}) as (port, _),
        socket.create_connection((HOST, port), timeout=20) as peer,
    ):
        peer.sendall(sent)
        assert ask(port, "POST", COMPLETIONS_PATH, chat("meanwhile"))[0] == 200
        answer = answer_to(peer)
    assert answer.startswith(b"HTTP/1.1 408 " if sent.startswith(CHAT_HEAD) else b"")
    assert bool(answer) == sent.startswith(CHAT_HEAD)


def test_bodies_take_so_much_in_all(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "LIMITS", Limits(held_bytes=1 << 20))
    with opened([node.port], one_tier(tmp_path), {}) as (port, _), ExitStack() as stack:
        peers = [stack.enter_context(socket.create_connection((HOST, port), timeout=20)) for _ in range(3)]
        for peer in peers:
            peer.sendall(CHAT_HEAD + b"Content-Length: 500000\r\n\r\n" + b" " * 499_999)
        ready, _, _ = select.select(peers, [], [], 20)
        (refused,) = ready
        assert refused.recv(1 << 16).startswith(b"HTTP/1.1 503 ")
        for peer in set(peers) - {refused}:  # the others' are held, and may end
            peer.sendall(b" ")
            assert peer.recv(1 << 16).startswith(b"HTTP/1.1 400 ")
        assert ask(port, "POST", COMPLETIONS_PATH, chat("and it goes on"))[0] == 200


def test_many_who_ask_nothing_make_room_for_others(front: int) -> None:
    with ExitStack() as stack:
        peers = [
            stack.enter_context(socket.create_connection((HOST, front), timeout=20))
            for _ in range(MOST_SILENT + 20)
        ]
        assert peers[0].recv(1) == b""
        assert ask(front, "POST", COMPLETIONS_PATH, chat("a film"))[0] == 200


def test_an_answer_that_is_too_deep_to_be_read_is_malformed() -> None:
    deep = b"[" * 100_000
    for kind, body in (("application/json", deep), ("text/event-stream", b"data: " + deep + b"\n\n")):
        heard = proxy.Heard(200, kind, bytearray(body), whole=True)
        assert heard.verdict() == Ended("malformed")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        CHAT_HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
        CHAT_HEAD + b"Content-Length: 9\r\n\r\n{",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"",
    ],
    ids=["tls", "version-9", "blank-before-colon", "no-chunk", "half-a-body", "long-header", "nothing"],
)
def test_what_is_no_http_is_refused_and_others_are_served(
    front: int, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answer = b""
    with socket.create_connection((HOST, front), timeout=20) as peer, suppress(ConnectionResetError):
        peer.sendall(sent)
        peer.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(partial(peer.recv, 65536), b""))
    assert answer == b"" or answer.split()[1].startswith(b"4")
    assert ask(front, "POST", COMPLETIONS_PATH, chat("and it goes on"))[0] == 200
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_node_that_is_gone_is_an_error_of_the_api(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
    with opened([port], one_tier(tmp_path), {}) as (front, ways):
        status, _, body = ask(front, "POST", COMPLETIONS_PATH, chat("anybody there?"))
        assert status == 502
        assert json.loads(body)["error"]["type"] == "unreachable"
        wait_until(lambda: ways.outcomes, 10, 0.01)
        assert [outcome.outcome for outcome in ways.outcomes] == ["connection"]


def test_devices_take_turns(node: Node, tmp_path: Path) -> None:
    with opened([node.port, node.port], one_tier(tmp_path), {}) as (front, ways):
        for number in range(4):
            assert ask(front, "POST", COMPLETIONS_PATH, chat(f"film {number}"))[0] == 200
        wait_until(lambda: len(ways.outcomes) == 4, 10, 0.01)  # the last is noted once its answer has left
        assert [outcome.device for outcome in ways.outcomes] == ["device1", "device2"] * 2
        assert [ways.prompts[outcome.request_id] for outcome in ways.outcomes] == [
            f"film {number}" for number in range(4)
        ]


def test_what_nodes_recorded_of_a_request_is_its_way(node: Node, tmp_path: Path) -> None:
    records: dict[str, Any] = {}
    with opened([node.port], one_tier(tmp_path), records) as (front, _):
        ask(front, "POST", COMPLETIONS_PATH, chat("a film"), {REQUEST_ID_HEADER: "r7"})
        records["device1"] = [record.as_json() for record in node.service.method.records.of("r7")]
        status, _, body = ask(front, "GET", "/ways/r7")
        way = json.loads(body)
        assert status == 200
        assert (way["outcome"], way["tier"], way["prompt_bytes"], way["hops"]) == (
            "answered",
            "device",
            6,
            [],
        )
        (step,) = way["nodes"]
        assert (step["node"], step["kept"]) == ("device1", True)
        assert 0.5 <= step["confidence"] <= 1
        assert ask(front, "GET", "/ways/r8")[0] == 404
        live = json.loads(ask(front, "GET", "/live")[2])
        assert (live["done"], live["under_way"]) == (1, 0)
        assert [request["request_id"] for request in live["requests"]] == ["r7"]


@pytest.mark.parametrize("path", ["/", "/live", "/about", "/page.js", "/v1/models"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:8000"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
    ],
    ids=["rebound", "rebound-alike", "other-site", "no-site", "other-port"],
)
def test_another_sites_page_gets_nothing(front: int, path: str, headers: dict[str, str]) -> None:
    status, told, body = ask(front, "GET", path, headers=headers)
    assert status == 403
    assert json.loads(body)["error"]["type"] == "forbidden"
    assert not any(name.startswith("access-control") for name in told)


def test_a_browser_asks_before_it_lets_another_site_post_json_and_is_told_no(front: int) -> None:
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    status, told, _ = ask(front, "OPTIONS", COMPLETIONS_PATH, headers=asked)
    assert status == 403
    assert not any(name.startswith("access-control") for name in told)


def test_the_page_loads_nothing_from_elsewhere(front: int) -> None:
    for path, file in FILES.items():
        status, told, body = ask(front, "GET", path)
        assert status == 200
        assert body == (PAGE / file).read_bytes()
        assert "default-src 'none'" in told["content-security-policy"]
        assert "unsafe" not in told["content-security-policy"]
        assert told["x-content-type-options"] == "nosniff"
        urls = re.findall(rb"(?:https?:)?//[\w.]+", body)
        assert set(urls) <= {b"http://www.w3.org"}  # the name of SVG, which nobody fetches


def test_what_is_not_there_is_told_as_the_api_does(front: int) -> None:
    for path in ("/nothing", "/v2/models", "/../etc/passwd", "/ways/"):
        status, _, body = ask(front, "GET", path)
        assert status == 404
        assert json.loads(body)["error"]["type"] == "not_found"


@contextmanager
def streaming(parts: Sequence[bytes], go_on: threading.Event, whole: bool) -> Iterator[int]:
    """An engine that sends the first part of a stream, waits to be told, and sends the rest."""

    def answer() -> None:
        peer, _ = listening.accept()
        with peer:
            peer.recv(65536)
            peer.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            for part in parts:
                peer.sendall(b"%x\r\n%s\r\n" % (len(part), part))
                assert go_on.wait(20)
            if whole:
                peer.sendall(b"0\r\n\r\n")

    with socket.create_server((HOST, 0)) as listening:
        thread = threading.Thread(target=answer)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(20)


def streamed(front: int) -> tuple[HTTPConnection, HTTPResponse]:
    connection = HTTPConnection(HOST, front, timeout=20)
    connection.request("POST", COMPLETIONS_PATH, chat("slowly, please"))
    return connection, connection.getresponse()


def event(**fields: Any) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


PARTS = [
    event(choices=[{"delta": {"role": "assistant", "content": "pos"}}]),
    event(choices=[{"delta": {"content": "itive"}}], recserve={"tier": "edge", "path": []}),
    b"data: [DONE]\n\n",
]


def test_a_stream_passes_while_it_comes(tmp_path: Path) -> None:
    go_on = threading.Event()
    with (
        streaming(PARTS, go_on, whole=True) as port,
        opened([port], one_tier(tmp_path), {}) as (front, ways),
    ):
        connection, answer = streamed(front)
        assert answer.getheader("Content-Type") == "text/event-stream"
        assert answer.read(len(PARTS[0])) == PARTS[0]  # the engine waits: nothing was held back
        go_on.set()
        assert answer.read() == b"".join(PARTS[1:])
        connection.close()
    (outcome,) = ways.outcomes
    assert (outcome.outcome, outcome.answer, outcome.tier) == ("answered", "positive", "edge")


def test_a_stream_that_breaks_off_is_not_taken_for_whole(tmp_path: Path) -> None:
    go_on = threading.Event()
    go_on.set()
    with (
        streaming(PARTS[:2], go_on, whole=False) as port,
        opened([port], one_tier(tmp_path), {}) as (front, ways),
        pytest.raises((OSError, HTTPException)),
    ):
        streamed(front)[1].read()
    assert [outcome.outcome for outcome in ways.outcomes] == ["connection"]


@pytest.mark.parametrize(
    ("body", "prompt"),
    [
        (chat("a fílm"), "a fílm"),
        (
            b'{"messages": [{"role": "system", "content": "x"}, {"content": [{"type":"text","text":"y"}]}]}',
            "y",
        ),
        (b'{"messages": [{"role": "user", "content": 5}, 7]}', ""),
        (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', "?"),
        (b"[" * 100_000, ""),
        (b"", ""),
    ],
    ids=["text", "parts", "wrong-types", "half-a-pair", "deep", "empty"],
)
def test_the_users_text_is_found_in_a_request(body: bytes, prompt: str) -> None:
    assert prompt_of(body) == prompt
