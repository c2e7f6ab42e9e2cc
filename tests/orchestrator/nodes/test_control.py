"""What a node may send to its control: an answer that is not whole, or does not end, is refused by name."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest

from testbed.errors import TestbedError
from testbed.host.processes.reporting import Report, silent
from testbed.host.processes.waiting import wait_until
from testbed.host.standstill import How
from testbed.network.kernel.netns import add_namespaces, delete_namespaces, named, run_in, socket_in
from testbed.orchestrator.nodes import control, loopback
from testbed.orchestrator.nodes.control import NodeControl
from tests.network.lab import run_id
from tests.tiers.held_records import record
from tiers.plain import bounded_text
from tiers.protocol import MAX_ANSWER_BYTES, TIER_PORT
from tiers.records import told_in_lines

pytestmark = pytest.mark.root
RECORDS = [record(number) for number in range(300)]
TOLD = b"".join(told_in_lines(RECORDS))
Answer = Callable[[socket.socket], None]


class Host:
    """What a NodeControl knows of its node, which has not ended."""

    name = "edge1"
    how: How | None = None

    def __init__(self, netns_path: str) -> None:
        self.netns_path = netns_path

    def stands_still(self) -> How | None:
        return self.how

    def require_running(self) -> None: ...


@contextmanager
def node(answer: Answer, tell: Report = silent) -> Iterator[NodeControl]:
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
            yield NodeControl(Host(named(name)), tell)  # type: ignore[arg-type]
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


def test_the_longest_answer_that_a_model_may_give_is_read_with_its_record() -> None:
    longest = '"' * (MAX_ANSWER_BYTES // 2 - 1)  # as JSON each has two bytes, between two more
    given = replace(RECORDS[0], answer=bounded_text(longest, "the answer", MAX_ANSWER_BYTES))
    with node(sending(b"".join(told_in_lines([given, RECORDS[1]])))) as edge:
        assert edge.records() == [given.as_json(), RECORDS[1].as_json()]


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


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopback, "STILL_PATIENCE_S", 0.4)
    monkeypatch.setattr(loopback, "LONG_S", 0.4)
    monkeypatch.setattr(loopback, "LOOKED_EVERY_S", 0.05)


@pytest.mark.usefixtures("impatience")
def test_a_node_that_stands_still_is_waited_for_once_and_not_for_the_time_of_an_answer() -> None:
    said: list[str] = []
    asked_enough = threading.Event()

    def answer(_: socket.socket) -> None:
        asked_enough.wait(20)

    with node(answer, said.append) as edge:
        edge.host.how = "frozen"
        began_s = time.monotonic()
        with pytest.raises(
            TestbedError, match=r"edge1 does not answer records \(it has stood still for 0.4 s, "
        ):
            edge.records()
        with pytest.raises(TestbedError, match=r"edge1 does not answer status \(it stands still, frozen by"):
            edge.status()
        assert time.monotonic() - began_s < 10  # an answer has 60 s
        asked_enough.set()
    assert said == [
        "edge1 stands still, frozen by its control group, as docker pause does: waiting for it to answer "
        "records, for 0.4 s at most"
    ]


@pytest.mark.usefixtures("impatience")
def test_a_node_that_goes_on_is_asked_as_if_nothing_had_been() -> None:
    def answer(connection: socket.socket) -> None:
        wait_until(lambda: len(said) == 1, 20, 0.01)
        edge.host.how = None
        wait_until(lambda: len(said) == 2, 20, 0.01)
        sending(b'{"model": "m"}')(connection)

    said: list[str] = []
    with node(answer, said.append) as edge:
        edge.host.how = "stopped"
        assert edge.status() == {"model": "m"}
    assert said[1] == "waiting for edge1 to answer status: for 60 s at most"


@pytest.mark.usefixtures("impatience")
def test_a_node_that_stands_still_before_it_listens_is_none_that_loads() -> None:
    name = f"tb{run_id()}"
    add_namespaces([name])
    run_in(named(name), ["ip", "link", "set", "lo", "up"])
    try:
        host = Host(named(name))
        edge = NodeControl(host)  # type: ignore[arg-type]
        assert not edge.ready()
        host.how = "frozen"
        with pytest.raises(
            TestbedError, match=r"edge1 does not say whether it is ready \(it has stood still"
        ):
            wait_until(edge.ready, 5, 0.1)
    finally:
        delete_namespaces([name])
