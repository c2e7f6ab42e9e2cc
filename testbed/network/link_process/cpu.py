"""What a process uses of one CPU, by second."""

from __future__ import annotations

import threading
import time

from testbed.host.processes.proc import cpu_time_ns

INTERVAL_S = 1.0


class CpuBySecond:
    """A process's share of one CPU, second by second. It may be used from several threads."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._lock = threading.Lock()
        self.restart()

    def restart(self) -> None:
        """Begin anew."""
        with self._lock:
            self._last_s, self._last_ns = time.monotonic(), cpu_time_ns(self._pid) or 0
            self._shares: list[float] = []

    def wait_s(self) -> float:
        """How long it is until the end of the second."""
        return max(0.01, self._last_s + INTERVAL_S - time.monotonic())

    def note(self) -> None:
        """Take the share of the second that has passed; to be called when :meth:`wait_s` is over."""
        with self._lock:
            now_s, now_ns = time.monotonic(), cpu_time_ns(self._pid) or 0
            if now_s - self._last_s >= 0.9 * INTERVAL_S:
                self._shares.append((now_ns - self._last_ns) / 1e9 / (now_s - self._last_s))
                self._last_s, self._last_ns = now_s, now_ns

    def shares(self) -> tuple[float, ...]:
        """The shares of the seconds so far."""
        with self._lock:
            return tuple(self._shares)
