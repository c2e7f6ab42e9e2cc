"""Real nodes on loopback ports: the server that a container runs, in this process or in one of its own."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from tiers.config import parse_config
from tiers.protocol import COMPLETIONS_PATH, DEADLINE_HEADER, REQUEST_ID_HEADER, encode_json
from tiers.server import Node

TIERS = ["device", "edge", "cloud"]
LABELS = ["negative", "positive"]
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def text(self) -> str:
        return str(self.json["choices"][0]["message"]["content"])


def node_config(tier: str, parent: int | None, service_ms: float = 0.0, **changes: Any) -> dict[str, Any]:
    """A recorded node's configuration; ``parent`` is a loopback port."""
    return {
        "node": f"{tier}1",
        "tier": tier,
        "tiers": TIERS,
        "model": {"kind": "recorded", "default": {"service_ms": service_ms}},
        "task": {"kind": "classification", "labels": LABELS},
        "parent": None if parent is None else f"{HOST}:{parent}",
        "host": HOST,
        "port": 0,  # a free one; asked for beforehand, another test may have it by then
        **changes,
    }


@contextmanager
def running(config: dict[str, Any]) -> Iterator[Node]:
    """A node that serves in a thread of this process."""
    node = Node(parse_config(config))
    failures: list[BaseException] = []
    node.load(failures.append)
    thread = threading.Thread(target=node.run, daemon=True)
    thread.start()
    try:
        wait_until(lambda: node.service.queue.ready or bool(failures))
        if failures:
            raise failures[0]
        yield node
    finally:
        node.close()
        thread.join(5)


@contextmanager
def chain(service_ms: float = 0.0) -> Iterator[tuple[Node, Node, Node]]:
    """A device, its edge and its cloud."""
    with (
        running(node_config("cloud", None, service_ms)) as cloud,
        running(node_config("edge", cloud.port, service_ms)) as edge,
        running(node_config("device", edge.port, service_ms)) as device,
    ):
        yield device, edge, cloud


def prompt_body(text: str) -> bytes:
    return encode_json({"model": "tier", "messages": [{"role": "user", "content": text}]})


def ask(
    port: int,
    body: bytes | str,
    request_id: str | None = None,
    deadline_ms: int | None = None,
    timeout_s: float = 20,
) -> Answer:
    """POST a prompt, or a body as it is."""
    headers = {"Content-Type": "application/json"}
    if request_id is not None:
        headers[REQUEST_ID_HEADER] = request_id
    if deadline_ms is not None:
        headers[DEADLINE_HEADER] = str(deadline_ms)
    raw = prompt_body(body) if isinstance(body, str) else body
    return call(port, "POST", COMPLETIONS_PATH, raw, headers, timeout_s)


def call(
    port: int,
    verb: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    timeout_s: float = 20,
    source: str = HOST,
) -> Answer:
    connection = HTTPConnection(HOST, port, timeout=timeout_s, source_address=(source, 0))
    try:
        connection.request(verb, path, body, headers or {})
        response = connection.getresponse()
        return Answer(response.status, response.getheaders(), response.read())
    finally:
        connection.close()


def health_status(port: int) -> int:
    """The HTTP status of a node's health; 0 of one that does not listen yet."""
    try:
        # From another address than the node's: while nobody listens, a socket there could connect to itself.
        return call(port, "GET", "/health", source="127.0.0.9").status
    except ConnectionRefusedError:
        return 0


def is_ready(port: int) -> bool:
    """Whether a node that may not listen yet has loaded its model."""
    return health_status(port) == 200


def begin(policy: dict[str, Any], *nodes: Node, **round_trips: float) -> None:
    """Tell every node the method, and the longest round trips if they are to be others."""
    for node in nodes:
        body = encode_json({"method": policy["policy"], "policy": policy, **round_trips})
        answer = call(node.port, "POST", "/control/reset", body)
        assert answer.status == 200, answer.raw


def records(node: Node) -> list[dict[str, Any]]:
    return records_at(node.port)


def records_at(port: int) -> list[dict[str, Any]]:
    """What the node at a port recorded: a line each, and then how many they are."""
    *found, told = map(json.loads, call(port, "GET", "/control/records").raw.splitlines())
    assert told == {"records": len(found)}
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def wait_until(true: Any, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.005)
