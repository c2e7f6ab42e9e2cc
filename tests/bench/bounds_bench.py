"""What clients and tiers that misbehave cost a tier's server: ``python -m tests.bench.bounds_bench``.

Prints for each by how much the memory of the server rose at its highest, and how long it took to be done with
it. docs/SECURITY.md has the limits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection

from tests.corpus.served import Served, serving
from tests.corpus.test_served import CODED, OWN, endless, nested, sending
from tests.tiers.clients import connected, post, rest_of
from tests.tiers.nodes import HOST, ask, records_at
from tests.tiers.parents import Behaviour, parent
from tests.tiers.test_records_told import highest_bytes, holding
from tiers.protocol import COMPLETIONS_PATH
from tiers.records import MAX_RECORDS

BODY_BYTES = 100 << 20


@contextmanager
def timed(what: str, highest: Callable[[], int]) -> Iterator[None]:
    before_bytes, began_s = highest(), time.perf_counter()
    yield
    took_s, more_mib = time.perf_counter() - began_s, (highest() - before_bytes) / (1 << 20)
    print(f"{what:58} {more_mib:6.1f} MiB more, {took_s:6.2f} s")


def highest_of(server: Served) -> Callable[[], int]:
    return lambda: server.memory_bytes("VmHWM")


def from_below() -> None:
    """What a client sends."""
    with serving() as server, timed("a deadline of 15 nines", highest_of(server)):
        assert ask(server.port, "good", deadline_ms=10**15 - 1).status == 200
    with serving() as server, timed("a body of 100 MiB", highest_of(server)):
        connection = HTTPConnection(HOST, server.port, timeout=60)
        length = {"Content-Length": str(BODY_BYTES)}
        connection.request("POST", COMPLETIONS_PATH, (b" " * (1 << 20) for _ in range(100)), length)
        assert connection.getresponse().status == 413
    with serving() as server, timed("JSON nested 500,000 deep", highest_of(server)):
        assert ask(server.port, b"[" * 500_000).status == 400
    halves = 150
    with serving() as server, ExitStack() as stack:
        clients = [stack.enter_context(connected(server.port, 30)) for _ in range(halves)]
        with timed(f"{halves} bodies of which 900 KiB came, till the first is refused", highest_of(server)):
            for client in clients:
                client.sendall(post(b" " * (900 << 10), length=1 << 20))
            assert rest_of(clients[0]).startswith(b"HTTP/1.1 503 ")


def from_above(what: str, behaviour: Behaviour) -> None:
    """What a tier above answers to a node that has an answer of its own."""
    with parent(behaviour) as (above, _), serving("edge", above, policy=OWN) as edge:
        ask(edge.port, "once")  # it has connected by then
        with timed(f"from above: {what}", highest_of(edge)):
            assert ask(edge.port, "good").json["recserve"]["tier"] == "edge"


def main() -> None:
    from_below()
    from_above("JSON nested 100,000 deep", sending(200, nested(100_000)))
    gzip_head = b"Content-Encoding: gzip\r\n"
    from_above("gzip of 200 MiB", sending(200, CODED["gzip of 200 MB"], gzip_head))
    from_above("an answer without end", endless)
    with (
        holding(MAX_RECORDS) as (pid, port),
        timed(f"{MAX_RECORDS:,} records told", lambda: highest_bytes(pid)),
    ):
        assert len(records_at(port)) == MAX_RECORDS


if __name__ == "__main__":
    main()
