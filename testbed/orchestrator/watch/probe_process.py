"""A slow probe: pings over idle links, from a process so small that only the machine can hold it up.

Run as a file, with sockets that its parent opened in the links' namespaces and handed down; it imports
nothing but the standard library, so that it starts at once. It ends when its standard input does, and then
prints its results.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import sys
import time
from contextlib import suppress

_SO_TIMESTAMPNS = 35


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def _echo_request(identity: int, number: int, payload_bytes: int) -> bytes:
    body = struct.pack("!BBHHH", 8, 0, 0, identity, number) + bytes(payload_bytes)
    return body[:2] + struct.pack("!H", _checksum(body)) + body[4:]


class Probe:
    """One link's pings. ``felt`` ends when this process has the answer, ``seen`` when the kernel had it.

    ``late`` is how long after its time a ping was sent. It shows a whole machine that stands still, as a
    virtual machine does whose host is busy; none of the machine's counters shows that.
    """

    def __init__(self, descriptor: int, identity: int, payload_bytes: int) -> None:
        self.socket = socket.socket(fileno=descriptor)
        self.identity = identity
        self.payload_bytes = payload_bytes
        self.sent = 0
        self.waiting: dict[int, tuple[int, int]] = {}
        self.felt_ms: list[float] = []
        self.seen_ms: list[float] = []
        self.late_ms: list[float] = []

    def send(self) -> None:
        number = self.sent & 0xFFFF
        packet = _echo_request(self.identity, number, self.payload_bytes)
        self.sent += 1
        self.waiting[number] = (time.monotonic_ns(), time.time_ns())
        try:
            self.socket.send(packet)
        except OSError:  # it counts as lost
            del self.waiting[number]

    def receive(self) -> None:
        try:
            packet, control, _, _ = self.socket.recvmsg(2048, 64)
        except OSError:
            return
        now_ns, wall_ns = time.monotonic_ns(), time.time_ns()
        reply = packet[(packet[0] & 0x0F) * 4 :]
        identity, number = struct.unpack_from("!HH", reply, 4)
        if reply[0] != 0 or identity != self.identity or number not in self.waiting:
            return
        sent_ns, sent_wall_ns = self.waiting.pop(number)
        for _, kind, data in control:
            if kind == _SO_TIMESTAMPNS:
                seconds, nanoseconds = struct.unpack("@ll", data[:16])
                wall_ns = seconds * 1_000_000_000 + nanoseconds
        self.felt_ms.append((now_ns - sent_ns) / 1e6)
        self.seen_ms.append((wall_ns - sent_wall_ns) / 1e6)

    def result(self) -> dict[str, object]:
        return {"sent": self.sent, "felt_ms": self.felt_ms, "seen_ms": self.seen_ms, "late_ms": self.late_ms}


def watch(probes: list[Probe], interval_s: float, drain_s: float) -> None:
    """Ping each link every ``interval_s`` until standard input ends; then wait ``drain_s`` for the rest."""
    poller = select.poll()
    by_descriptor = {probe.socket.fileno(): probe for probe in probes}
    for descriptor in (sys.stdin.fileno(), *by_descriptor):
        poller.register(descriptor, select.POLLIN | select.POLLHUP)
    due = [time.monotonic() + index * interval_s / len(probes) for index in range(len(probes))]
    ending_s: float | None = None
    while ending_s is None or (time.monotonic() < ending_s and any(probe.waiting for probe in probes)):
        until_s = ending_s if ending_s is not None else min(due)
        for descriptor, _ in poller.poll(max(0.0, (until_s - time.monotonic()) * 1000)):
            if descriptor in by_descriptor:
                by_descriptor[descriptor].receive()
            elif not os.read(descriptor, 1):
                ending_s = time.monotonic() + drain_s
                poller.unregister(descriptor)
        for index, probe in enumerate(probes):
            if ending_s is None and (now_s := time.monotonic()) >= due[index]:
                probe.late_ms.append((now_s - due[index]) * 1000)
                probe.send()
                due[index] = max(due[index] + interval_s, now_s)


def main() -> None:
    settings = json.loads(sys.argv[1])
    probes = [
        Probe(descriptor, 0x7C00 + index, settings["payload_bytes"])
        for index, descriptor in enumerate(settings["descriptors"])
    ]
    print("probing", flush=True)
    watch(probes, settings["interval_s"], settings["drain_s"])
    # Whoever asked may have been killed; then nobody is there to be told, not even of that.
    with suppress(BrokenPipeError), open(sys.stdout.fileno(), "w", closefd=False) as asked:
        asked.write(json.dumps([probe.result() for probe in probes]) + "\n")


if __name__ == "__main__":
    main()
