"""What a run shows of itself, as plain data: all that :mod:`testbed.fidelity` judges it by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from testbed.measure.expected import Finding
from testbed.watch import CpuReport, ProbeReport, nearest_rank


@dataclass(frozen=True)
class LinkAccount:
    """A link's bytes under one method in one direction: the kernel's count, and what the capture left of it.

    ``quiet`` says that the counters stood still before and after, so that the sum's ends are sharp;
    ``faults`` are the capture's own reasons for doubt.
    """

    method: str
    link: str
    direction: str
    frames: int
    frame_bytes: int
    unaccounted_bytes: int
    unaccounted_frames: int = 0
    capture_dropped_frames: int = 0
    queue_dropped_frames: int = 0
    lost_frames: int = 0
    quiet: bool = True
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Audit:
    """What ``testbed audit`` found: decisions replayed, and a sentence for each that came out otherwise."""

    decisions: int
    differences: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcomes:
    """How the requests of one method ended: ``ended`` counts by outcome, ``repeated`` those with several."""

    method: str
    requests: int
    ended: Mapping[str, int]
    repeated: int = 0
    answered_without_reference: int = 0


@dataclass(frozen=True)
class Lateness:
    """How long after its time in the trace the orchestrator sent a request, in ms."""

    method: str
    requests: int
    p50_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, method: str, late_ms: Sequence[float]) -> Lateness:
        """Of each request's lateness; of no request at all, 0."""
        late = sorted(late_ms) or [0.0]
        return cls(method, len(late_ms), nearest_rank(late, 0.5), nearest_rank(late, 0.99), late[-1])


@dataclass(frozen=True)
class TierLimit:
    """A node's CPU limit as asked and as given, and how often it was throttled by it (100 ms periods)."""

    node: str
    cpus_asked: float
    cpus: float
    periods: int | None = None
    throttled_periods: int | None = None
    throttled_s: float | None = None


@dataclass(frozen=True)
class Evidence:
    """All that the verdicts rest on. ``None`` means that it was not looked at, an empty sequence that it was.

    ``lateness`` is ``None`` where nothing can be late: in lockstep a request has no time of its own.
    """

    accounts: Sequence[LinkAccount] | None = None
    audit: Audit | None = None
    outcomes: Sequence[Outcomes] | None = None
    links_before: Sequence[Finding] | None = None
    links_after: Sequence[Finding] | None = None
    lateness: Sequence[Lateness] | None = None
    lockstep: bool = False
    closed_users: int | None = None
    cpu: Mapping[str, CpuReport] | None = None
    probes: Mapping[str, Sequence[ProbeReport]] | None = None
    tiers: Sequence[TierLimit] | None = None
    machine_cpus: int = 1
    netem: bool = True
    has_loss: bool = False
