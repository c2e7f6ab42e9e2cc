"""What idle connections cost a tier's server: ``python -m tests.bench.connections_bench``.

Prints the time of a request over loopback, p50 and p99, its ratio to the one beside no idle connection, and
the server's memory.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from http.client import HTTPConnection

from tests.corpus.served import serving
from tests.tiers.clients import connected, may_open
from tests.tiers.nodes import HOST, prompt_body
from tiers.protocol import COMPLETIONS_PATH

IDLE = (0, 1000, 5000)
REQUESTS = 500


def times_ms(port: int) -> list[float]:
    """How long requests take one after another on one connection, in order of length."""
    connection, taken = HTTPConnection(HOST, port), []
    for _ in range(REQUESTS):
        began_s = time.perf_counter()
        connection.request("POST", COMPLETIONS_PATH, prompt_body("good"))
        connection.getresponse().read()
        taken.append((time.perf_counter() - began_s) * 1000)
    connection.close()
    return sorted(taken)


def main() -> None:
    may_open(2 * max(IDLE))
    with serving() as server, ExitStack() as stack:
        times_ms(server.port)
        alone_ms, there = 0.0, 0
        for idle in IDLE:
            for _ in range(idle - there):
                stack.enter_context(connected(server.port))
            there, found = idle, times_ms(server.port)
            p50_ms, p99_ms = found[REQUESTS // 2], found[REQUESTS * 99 // 100]
            alone_ms = alone_ms or p50_ms
            memory_mib = server.memory_bytes() >> 20
            print(
                f"{idle:5} idle connections: p50 {p50_ms:.2f} ms ({p50_ms / alone_ms:.2f} times), "
                f"p99 {p99_ms:.2f} ms, {memory_mib} MiB"
            )


if __name__ == "__main__":
    main()
