"""Samples how busy the machine's CPUs are while a method is replayed."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from testbed.host.facts import usable_cpus
from testbed.results.evidence import CpuReport

CPU_INTERVAL_S = 0.25
_STAT = Path("/proc/stat")
_PRESSURE = Path("/proc/pressure/cpu")


class _Stat(NamedTuple):
    """/proc/stat (proc_stat(5)): times in ticks, and how many threads are runnable."""

    total: int
    idle: int
    steal: int
    running: int

    @classmethod
    def read(cls) -> _Stat:
        lines = _STAT.read_text().splitlines()
        # user, nice, system, idle, iowait, irq, softirq, steal; what guests used is in user and nice too
        ticks = [int(word) for word in lines[0].split()[1:9]]
        running = next(int(line.split()[1]) for line in lines if line.startswith("procs_running"))
        return cls(sum(ticks), idle=ticks[3] + ticks[4], steal=ticks[7], running=running)


class CpuWatch:
    """Samples the machine's CPUs while it is entered; afterwards :attr:`report` has the result."""

    def __init__(self, interval_s: float = CPU_INTERVAL_S) -> None:
        self._interval_s = interval_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="cpu-watch", daemon=True)
        self._cpus = usable_cpus()
        self._samples = self._contended = 0

    def __enter__(self) -> Self:
        self._first, self._first_s, self._first_pressure_s = _Stat.read(), time.monotonic(), _pressure_s()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(timeout=10 * self._interval_s + 5)
        last, seconds, pressure_s = _Stat.read(), time.monotonic() - self._first_s, _pressure_s()
        ticks = max(1, last.total - self._first.total)
        pressure = None
        if pressure_s is not None and self._first_pressure_s is not None:
            pressure = (pressure_s - self._first_pressure_s) / seconds
        self.report = CpuReport(
            cpus=self._cpus,
            seconds=seconds,
            samples=self._samples,
            busy=1 - (last.idle - self._first.idle) / ticks,
            steal=(last.steal - self._first.steal) / ticks,
            contended=self._contended / self._samples if self._samples else 0.0,
            pressure=pressure,
        )

    def _sample(self) -> None:
        while not self._ended.wait(self._interval_s):
            self._samples += 1
            # This thread is running itself while it looks.
            self._contended += _Stat.read().running - 1 > self._cpus


def _pressure_s() -> float | None:
    """Seconds in which some task waited for a CPU, since boot."""
    with suppress(OSError, ValueError, StopIteration, IndexError):
        line = next(line for line in _PRESSURE.read_text().splitlines() if line.startswith("some"))
        return int(line.rpartition("total=")[2]) / 1e6
    return None
