"""Evaluates many points, on all CPUs that the process may use."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import NamedTuple

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.study.what_if.audit import PointAudit, audit_point
from testbed.study.what_if.figures import Figures, figures
from testbed.study.what_if.replay import replay
from testbed.study.what_if.study import Ints, Point, Study

AUDITED = 10
"""Points that are audited unless all are, drawn by the seed."""
MAX_KEPT = 100
"""Points of which it is kept who answered each request."""
_ALONE = 100_000
"""Requests of all points together up to which other processes cost more than they save."""
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Evaluated:
    """A point's figures, its audit if it was drawn for one, and who answered each request, if they are few.

    ``levels`` are the tiers, from 0; ``None`` of more points than make a frontier.
    """

    figures: Figures
    audit: PointAudit | None
    levels: Ints | None = field(default=None, compare=False)


class _Work(NamedTuple):
    """All points of a study, and which of them are audited."""

    study: Study
    points: Sequence[Point]
    audited: frozenset[int]

    def done(self, at: int) -> Evaluated:
        study, point = self.study, self.points[at]
        levels = replay(study, point)
        audit = audit_point(study, point, levels) if at in self.audited else None
        kept = levels if len(self.points) <= MAX_KEPT else None
        return Evaluated(figures(study, point, levels), audit, kept)


_work: _Work | None = None
"""What a process of the pool has from the one that it was forked from: methods cannot be pickled."""


def evaluate(
    study: Study, points: Sequence[Point], reporter: Reporter, *, all_audited: bool = False
) -> list[Evaluated]:
    """Replay each point and work out its figures; audit ten of them, or all.

    Raises:
        TestbedError: a confidence cannot be had, a method cannot be calibrated, or a policy fails.
    """
    numbers = range(len(points))
    drawn = numbers
    if not all_audited and len(points) > AUDITED:
        drawn = random.Random(f"{study.scenario.seed}/audit").sample(numbers, AUDITED)  # type: ignore[assignment]
    for point in points:  # told before the work; and what is made here, all processes have
        study.request_confidences(point)
    if study.measure is not None:
        _ = study.counts
    _ = study.requests, study.devices, study.answer_sizes
    work = _Work(study, points, frozenset(drawn))
    what = f"evaluating {len(points):,} point{'s' * (len(points) > 1)} of {len(study.trace):,} requests"
    done: list[Evaluated] = []
    with _mapped(work) as results, reporter.counting(what, len(points)) as progress:
        for result in results:
            done.append(result)
            progress(len(done), len(points))
    return done


@contextmanager
def _mapped(work: _Work) -> Iterator[Iterator[Evaluated]]:
    """The results in the order of the points; of a pool of processes, if it is worth it."""
    global _work
    numbers = range(len(work.points))
    processes = min(len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1, len(numbers))
    if processes == 1 or len(numbers) * len(work.study.trace) <= _ALONE:
        yield map(work.done, numbers)
        return
    _work = work
    pool = ProcessPoolExecutor(processes, get_context("fork"), _begin)
    try:
        yield pool.map(_done, numbers)  # it forks here, before any thread is started
    except BrokenProcessPool:
        raise TestbedError(
            "a process that evaluated points was killed; is memory short? Try fewer points or requests"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)
        _work = None


def _begin() -> None:
    """In a new process: signals are for the one that it came from, and it ends with that one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _done(at: int) -> Evaluated:
    assert _work is not None
    return _work.done(at)
