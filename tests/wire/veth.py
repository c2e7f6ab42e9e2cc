"""Two network namespaces with a veth pair between them, captured at the child's end."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

from testbed.network.kernel.connections import unsettled
from testbed.network.kernel.interfaces import quieten_interfaces
from testbed.network.kernel.netns import add_namespaces, delete_namespaces, named, run_in, socket_in
from tests.wire.crafted import CHILD_IP, CHILD_MAC, ENDS, PARENT_IP, PARENT_MAC

TIMEOUT_S = 60.0
_NUMBERS = count()


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=TIMEOUT_S).stdout


class Veth:
    """``child`` and ``parent`` are namespaces' names, ``interface`` the child's end of the wire."""

    interface = "wa"
    ends = ENDS

    def __init__(self, tag: str) -> None:
        self.child, self.parent = f"tbw{tag}c", f"tbw{tag}p"
        self.netns_path = named(self.child)
        self.parent_path = named(self.parent)

    def up(self) -> None:
        ends = (("wa", self.child, CHILD_MAC, CHILD_IP), ("wb", self.parent, PARENT_MAC, PARENT_IP))
        add_namespaces([self.child, self.parent])
        run(
            "ip",
            "-n",
            self.child,
            "link",
            "add",
            "wa",
            "type",
            "veth",
            "peer",
            "name",
            "wb",
            "netns",
            self.parent,
        )
        for (name, namespace, mac, ip), (_, _, other_mac, other_ip) in zip(ends, ends[::-1], strict=True):
            quieten_interfaces(named(namespace), [name])
            run("ip", "-n", namespace, "link", "set", name, "address", mac, "up")
            run("ip", "-n", namespace, "address", "add", f"{ip}/24", "dev", name)
            run("ip", "-n", namespace, "neighbour", "add", other_ip, "lladdr", other_mac, "dev", name)

    def down(self) -> None:
        delete_namespaces([self.child, self.parent])

    def counters(self) -> dict[str, tuple[int, int]]:
        """Frames and bytes on the wire by the kernel's counters, up and down."""
        (link,) = json.loads(run("ip", "-n", self.child, "-s", "-j", "link", "show", "wa"))
        stats = link["stats64"]
        return {
            "up": (stats["tx"]["packets"], stats["tx"]["bytes"]),
            "down": (stats["rx"]["packets"], stats["rx"]["bytes"]),
        }

    def lose(self, one_in: int) -> None:
        """From now on each end's kernel throws away every ``one_in``-th TCP segment, behind the tap."""
        nth = ("-m", "statistic", "--mode", "nth", "--every", str(one_in), "--packet", str(one_in - 1))
        for path in (self.netns_path, self.parent_path):
            run_in(path, ["iptables", "-A", "INPUT", "-p", "tcp", *nth, "-j", "DROP"])

    def keep(self) -> None:
        """Take the loss away again."""
        for path in (self.netns_path, self.parent_path):
            run_in(path, ["iptables", "-F", "INPUT"])

    @contextlib.contextmanager
    def listening(self) -> Iterator[Callable[[], tuple[socket.socket, socket.socket]]]:
        """What makes connections from child to parent: the client's socket, the server's; closed with it."""
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket_in(self.parent_path))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((PARENT_IP, 8000))
            listener.listen()
            listener.settimeout(TIMEOUT_S)

            def connect() -> tuple[socket.socket, socket.socket]:
                client = stack.enter_context(socket_in(self.netns_path))
                client.settimeout(TIMEOUT_S)
                client.connect((PARENT_IP, 8000))
                server = stack.enter_context(listener.accept()[0])
                server.settimeout(TIMEOUT_S)
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return client, server

            yield connect

    @contextlib.contextmanager
    def connected(self) -> Iterator[tuple[socket.socket, socket.socket]]:
        """One connection."""
        with self.listening() as connect:
            yield connect()

    def burst(self, frames: int) -> None:
        """UDP datagrams from child to parent, as fast as they go."""
        with socket_in(self.netns_path, kind=socket.SOCK_DGRAM) as sender:
            for _ in range(frames):  # not connected: no refusal comes back to it
                sender.sendto(b"x" * 1000, (PARENT_IP, 9))


@contextlib.contextmanager
def veth() -> Iterator[Veth]:
    """A pair of one's own, gone afterwards."""
    pair = Veth(f"{os.getpid() % 100000}x{next(_NUMBERS)}")
    try:
        pair.up()
        yield pair
    finally:
        pair.down()


def receive(connection: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        piece = connection.recv(min(65536, length - len(data)))
        assert piece, "the connection closed early"
        data += piece
    return bytes(data)


def transfer(sender: socket.socket, receiver: socket.socket, data: bytes) -> None:
    """Send it all and take it all."""
    with ThreadPoolExecutor(1) as pool:
        received = pool.submit(receive, receiver, len(data))
        sender.sendall(data)
        assert received.result(TIMEOUT_S) == data


def at_rest(pair: Veth) -> None:
    """Return when neither end has anything left to send, and nothing moves."""
    for _ in range(600):
        if unsettled(pair.netns_path) + unsettled(pair.parent_path) == 0:
            quiet(pair.counters)
            return
        threading.Event().wait(0.1)
    raise AssertionError("the connections never settle")


def quiet(read: Callable[[], object]) -> object:
    """Counters that have stopped changing."""
    last = read()
    for _ in range(200):
        threading.Event().wait(0.1)
        now = read()
        if now == last:
            return now
        last = now
    raise AssertionError("the link does not fall quiet")
