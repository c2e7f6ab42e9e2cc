"""What a node may send to its control: an answer that is not whole, or does not end, is refused by name."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from testbed.errors import TestbedError
from testbed.network.kernel.netns import add_namespaces, delete_namespaces, named, run_in, socket_in
from testbed.orchestrator.nodes import control
from testbed.orchestrator.nodes.control import NodeControl
from tests.network.lab import run_id
from tests.tiers.held_records import record
from tiers.protocol import TIER_PORT
from tiers.records import told_in_lines

pytestmark = pytest.mark.root
RECORDS = [record(number) for number in range(300)]
TOLD = b"".join(told_in_lines(RECORDS))
Answer = Callable[[socket.socket], None]


class Host:
    """What a NodeControl knows of its node, which has not ended."""

    name = "edge1"

    def __init__(self, netns_path: str) -> None:
        self.netns_path = netns_path

    def require_running(self) -> None: ...


@contextmanager
def node(answer: Answer) -> Iterator[NodeControl]:
    """The control of a node that answers its first request so, and then closes."""
    name = f"tb{run_id()}"
    add_namespaces([name])
    run_in(named(name), ["ip", "link", "set", "lo", "up"])
    try:
        with socket_in(named(name)) as listener:
            listener.bind(("127.0.0.1", TIER_PORT))
            listener.listen()

            def serve() -> None:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.recv(1 << 16)
                    answer(connection)

            serving = threading.Thread(target=serve)
            serving.start()
            yield NodeControl(Host(named(name)))  # type: ignore[arg-type]
            serving.join(20)
    finally:
        delete_namespaces([name])


def sending(body: bytes, head: bytes = b"") -> Answer:
    return lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + body)


def chunked(body: bytes, size: int, end: bytes = b"0\r\n\r\n") -> Answer:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    whole = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return sending(whole + end, b"Transfer-Encoding: chunked\r\n")


@pytest.mark.parametrize("size", [1000, 100_000])
def test_records_are_read_however_they_are_cut(size: int) -> None:
    with node(chunked(TOLD, size)) as edge:
        assert edge.records() == [one.as_json() for one in RECORDS]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (sending(TOLD[: TOLD.index(b'{"records"')]), "it told of 300 records, and these are not all"),
        (chunked(TOLD[:5000], 1000, end=b""), "line 8 is no record"),
        (sending(TOLD.partition(b"\n")[2]), "it told of 299 records, and these are not all"),
        (sending(b"[" * 100_000), "line 1 is no record"),
        (sending(b"5\n"), "line 1 is no record"),
        (sending(b""), "it told of 0 records, and these are not all"),
    ],
    ids=["no last line", "broken off", "one less", "nested", "a number", "nothing"],
)
def test_records_that_are_not_whole_are_not_taken_for_all(answer: Answer, said: str) -> None:
    with (
        node(answer) as edge,
        pytest.raises(TestbedError, match=rf"^node edge1 does not answer records \({re.escape(said)}\)"),
    ):
        edge.records()


def endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b" " * (1 << 20))


def dripping(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(100):
        connection.sendall(b" ")
        time.sleep(0.1)


def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    with (
        node(endless) as edge,
        pytest.raises(TestbedError, match="its answer has more than 67,108,864 bytes"),
    ):
        edge.status()


@pytest.mark.parametrize("answer", [dripping, lambda _: time.sleep(3)], ids=["dripping", "silent"])
def test_a_node_has_so_long_for_all_of_its_answer(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "WARMUP_TIMEOUT_S", 0.5)
    with (
        node(answer) as edge,
        pytest.raises(TestbedError, match=r"edge1 does not answer records \(timed out"),
    ):
        edge.records()
