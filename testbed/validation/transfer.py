"""Checks that TCP transfers take as long as slow start says."""

from __future__ import annotations

import socket
import statistics
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from testbed.host.processes.priority import promptly
from testbed.network.measure.paths import LinkPath, wait_until_quiet
from testbed.scenario.topology import Shape
from testbed.validation.bench import Bench
from testbed.validation.check import Check
from testbed.validation.figures import Figure, within
from testbed.validation.slow_start import transfer_ms
from testbed.validation.sockets import TIMEOUT_S, connecting, listening, receive_all

SIZES_KB = (1, 16, 64, 256)
"""Of 1,024 bytes: 1, 12, 46 and 182 segments, so 1, 2, 3 and 5 rounds."""
TOLERANCE = 0.05
LINKS = (Shape(10_000_000, delay_ms=25), Shape(100_000_000, delay_ms=50, queue_frames=1000))
"""256 KB fill the first (35 segments fit into its round trip) and never fill the second."""
_INFO_BYTES, _INFO_OFFSETS = 104, (76, 100)
"""struct tcp_info of linux/tcp.h: tcpi_snd_ssthresh and tcpi_total_retrans."""
_INFINITE_THRESHOLD = 0x7FFFFFFF


@dataclass(frozen=True)
class Transfer:
    """One transfer. ``ended_at`` is the window, in segments, at which slow start ended, if it did."""

    took_ms: float
    retransmitted: int
    ended_at: int | None


def transfer(bench: Bench) -> Iterator[Figure]:
    """Time transfers of several sizes, each on a new connection, with the testbed's TCP settings."""
    for shape in LINKS[:1] if bench.short else LINKS:
        path = bench.path(shape)
        for size_kb in SIZES_KB:
            done = [transfer_once(path, size_kb * 1024) for _ in range(5 if bench.short else 10)]
            assert shape.rate_bps is not None
            link = f"{shape.rate_bps // 10**6} Mbit/s, {shape.delay_ms:g} ms"
            times_ms = [timed.took_ms for timed in done]
            yield within(
                f"{size_kb} KB over {link}", "ms", transfer_ms(size_kb * 1024, shape, shape),
                statistics.median(times_ms), TOLERANCE, times_ms, _note(done),
            )  # fmt: skip


def _note(done: list[Transfer]) -> str:
    notes = []
    if ended := [timed.ended_at for timed in done if timed.ended_at is not None]:
        notes.append(f"HyStart ended slow start at {statistics.median(ended):.0f} segments")
    if repeated := sum(timed.retransmitted for timed in done):
        notes.append(f"{repeated} segments were sent again")
    return "; ".join(notes)


def transfer_once(path: LinkPath, size_bytes: int) -> Transfer:
    """Connect, send, and time the last byte's arrival from the call to connect(2), in ms.

    Raises:
        OSError: it did not come through in half a minute.
    """
    with (
        listening(path.parent) as listener,
        connecting(path.child) as client,
        ThreadPoolExecutor(1, thread_name_prefix="receiver") as pool,
    ):
        arrival = pool.submit(_arrival_s, listener, size_bytes)
        with promptly():
            started_s = time.monotonic()
            client.connect(listener.getsockname())
            client.sendall(bytes(size_bytes))
        took_ms = (arrival.result(2 * TIMEOUT_S) - started_s) * 1000
        info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    wait_until_quiet([path])
    threshold, retransmitted = (struct.unpack_from("=I", info, offset)[0] for offset in _INFO_OFFSETS)
    return Transfer(took_ms, retransmitted, None if threshold >= _INFINITE_THRESHOLD else threshold)


def _arrival_s(listener: socket.socket, size_bytes: int) -> float:
    """Accept one connection, receive that many bytes, and return when the last one arrived."""
    with promptly():
        server, _ = listener.accept()
        with server:
            server.settimeout(TIMEOUT_S)
            receive_all(server, size_bytes)
            return time.monotonic()


CHECKS = (
    Check(
        "transfer", "TCP transfers take what slow start says", "slow start from 10 segments (RFC 6928)",
        transfer,
    ),
)  # fmt: skip
