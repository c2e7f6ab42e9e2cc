"""Pings idle links slowly while a method is replayed, which shows whether their round trips stay the same."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self

from testbed.errors import TestbedError
from testbed.network.measure.paths import LinkPath
from testbed.network.measure.traffic import PING_FRAME_BYTES, PING_PAYLOAD_BYTES
from testbed.network.measure.trains import ping_socket
from testbed.orchestrator.watch import probe_process as probe
from testbed.results.evidence import ProbeReport
from testbed.results.statistics import nearest_rank
from testbed.scenario.expected import round_trip_ms
from testbed.scenario.patience import longest_s

PROBE_INTERVAL_S = 0.2
PROBE_START_TIMEOUT_S = 30.0
PROBE_DRAIN_S = 3.0
"""How much longer than a round trip the last answers are waited for."""
PROBE_END_TIMEOUT_S = 20.0


def _report(
    path: LinkPath,
    *,
    sent: int,
    seen_ms: Sequence[float],
    felt_ms: Sequence[float],
    late_ms: Sequence[float],
    ended_early: bool = False,
) -> ProbeReport:
    """Summarise what the probing process reports of a path (:meth:`probe_process.Probe.result`)."""
    felt, late = sorted(felt_ms), sorted(late_ms)
    return ProbeReport(
        link=path.name,
        expected_ms=round_trip_ms(path.up, path.down, PING_FRAME_BYTES),
        jitter_ms=path.jitter_ms,
        loss=1 - (1 - path.up.loss) * (1 - path.down.loss),
        sent=sent,
        answered=len(felt),
        median_ms=statistics.median(seen_ms) if felt else None,
        felt_median_ms=statistics.median(felt) if felt else None,
        felt_p99_ms=nearest_rank(felt, 0.99) if felt else None,
        felt_max_ms=felt[-1] if felt else None,
        late_p99_ms=nearest_rank(late, 0.99) if late else None,
        late_max_ms=late[-1] if late else None,
        ended_early=ended_early,
    )


class ProbeWatch:
    """Pings idle links slowly while it is entered; afterwards :attr:`reports` has one for each.

    One small process does it, so that neither the orchestrator's threads nor its memory get in the way.

    Raises:
        TestbedError: the probing process did not start.
    """

    def __init__(self, paths: Sequence[LinkPath], interval_s: float = PROBE_INTERVAL_S) -> None:
        self._paths = list(paths)
        self._interval_s = interval_s
        shapes = ((longest_s(path.up), longest_s(path.down)) for path in paths)
        self._drain_s = PROBE_DRAIN_S + max(map(sum, shapes), default=0.0)
        self.reports: list[ProbeReport] = []

    def __enter__(self) -> Self:
        if not self._paths:
            return self
        with ExitStack() as stack:  # the child has descriptors of its own
            sockets = [stack.enter_context(ping_socket(path.child, path.parent)) for path in self._paths]
            descriptors = [pinging.fileno() for pinging in sockets]
            settings = {
                "descriptors": descriptors,
                "interval_s": self._interval_s,
                "drain_s": self._drain_s,
                "payload_bytes": PING_PAYLOAD_BYTES,
            }
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", probe.__file__, json.dumps(settings)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                pass_fds=descriptors,
                start_new_session=True,  # Ctrl-C is the run's to handle; its end closes our standard input
            )
        self._wait_until_started()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._paths:
            return
        try:
            output = self._process.communicate(timeout=PROBE_END_TIMEOUT_S + self._drain_s)[0]
            results = json.loads(output)
        except (subprocess.TimeoutExpired, ValueError):
            self._kill()
            lost = {"sent": 0, "seen_ms": (), "felt_ms": (), "late_ms": (), "ended_early": True}
            results = [lost] * len(self._paths)
        self.reports = [_report(path, **result) for path, result in zip(self._paths, results, strict=True)]

    def _wait_until_started(self) -> None:
        """Read the process's first line; killing it after a time-out ends the reading at the latest."""
        timer = threading.Timer(PROBE_START_TIMEOUT_S, self._process.kill)
        timer.daemon = True
        timer.start()
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        timer.cancel()
        if line != "probing\n":
            self._kill()
            raise TestbedError("the link probe did not start; free memory and CPU and try again")

    def _kill(self) -> None:
        self._process.kill()
        self._process.communicate()
