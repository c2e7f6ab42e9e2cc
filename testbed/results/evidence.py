"""Holds, as plain data, all that :mod:`testbed.results.fidelity` judges a run by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

from testbed.results.columns import EventRow
from testbed.results.statistics import nearest_rank
from testbed.scenario.reports import Finding, ProcessReport
from testbed.scenario.topology import Direction


@dataclass(frozen=True)
class CpuReport:
    """The machine's CPUs over a time, as shares in [0, 1] of all their time, or of the samples.

    ``steal`` is what a hypervisor gave to others. ``contended``: samples at which more was runnable than
    there are CPUs, so that something waited for one; a tier that waits for its own quota is not runnable.
    ``pressure``: the share of time in which some task waited (PSI; tiers that wait for their own quota
    count in it), ``None`` where the kernel has none.
    """

    cpus: int
    seconds: float
    samples: int
    busy: float
    steal: float
    contended: float
    pressure: float | None = None


@dataclass(frozen=True)
class ProbeReport:
    """Round trips over an idle link during a replay, in ms.

    ``median_ms`` is the network's alone, up to the kernel's stamp. ``felt_…`` include how long the probing
    process waited for a CPU then, and ``late_…`` is how long after its time it was woken to send. ``None``
    where nothing came back. ``ended_early``: the probing process died, or did not end when it should, and
    what it saw until then is lost.
    """

    link: str
    expected_ms: float
    jitter_ms: float
    loss: float
    sent: int
    answered: int
    median_ms: float | None
    felt_median_ms: float | None
    felt_p99_ms: float | None
    felt_max_ms: float | None
    late_p99_ms: float | None = None
    late_max_ms: float | None = None
    ended_early: bool = False


@dataclass(frozen=True)
class LinkAccount:
    """One direction of a link under one method: the kernel's count, and what the capture does not explain.

    ``quiet`` says that the counters stood still before and after, so that no frame was counted by half;
    ``faults`` are the capture's reasons for doubt. ``unattributed_bytes``: of prompts and answers, what is of
    no request of the trace. One capture holds both directions: its faults and the frames that it lost
    (``capture_dropped_frames``) stand with the way up alone.

    ``dropped_frames`` were dropped by the kernel between the two sites' containers,
    ``process_dropped_frames`` by the link process; ``contradictions`` say where the link process's counts and
    the kernel's do not add up.
    """

    method: str
    link: str
    direction: str
    frames: int
    frame_bytes: int
    unaccounted_bytes: int
    unaccounted_frames: int = 0
    unattributed_bytes: int = 0
    capture_dropped_frames: int = 0
    queue_dropped_frames: int = 0
    lost_frames: int = 0
    dropped_frames: int = 0
    process_dropped_frames: int = 0
    quiet: bool = True
    faults: tuple[str, ...] = ()
    contradictions: tuple[str, ...] = ()


@dataclass(frozen=True)
class BacklogReport:
    """How full a bottleneck's queue was at most under a method in one direction.

    ``queue_frames`` is what it has room for at the method's end.
    """

    link: str
    direction: Direction
    queue_frames: int
    max_frames: int
    max_bytes: int


@dataclass(frozen=True)
class Audit:
    """What ``testbed audit`` tells: decisions audited, and a sentence for each that came out otherwise.

    ``not_shown``: decisions that rest on records which a killed node lost.
    """

    decisions: int
    differences: tuple[str, ...] = ()
    not_shown: int = 0


@dataclass(frozen=True)
class ChangedFile:
    """A file that a key of the scenario, ``field``, names, and that did not stay as the manifest has it.

    ``how`` says what became of it during the run.
    """

    field: str
    path: str
    how: str

    @property
    def claim(self) -> Literal["decisions", "quality", "latency"]:
        """The verdict that rests on what is in it: a policy, what links do, or else who answers what."""
        head = self.field.partition(".")[0]
        if head in ("links", "graph", "events"):
            return "latency"
        return "decisions" if head == "methods" else "quality"


@dataclass(frozen=True)
class Overflow:
    """What a node had no room for under one method.

    ``waited``: requests that waited for a thread, because as many as the node handles at a time were
    outstanding; ``waited_max_ms``: the longest wait. ``forgotten``: records beyond those that a node keeps.
    """

    method: str
    node: str
    waited: int = 0
    waited_max_ms: float = 0.0
    forgotten: int = 0


@dataclass(frozen=True)
class BreakerReport:
    """A node whose breaker opened under one method: how often, and how many requests did not go up for it."""

    method: str
    node: str
    opened: int
    refused: int


@dataclass(frozen=True)
class StoodStill:
    """A container that did not run for a while under one method, and no event of the scenario asked for it.

    ``frozen``: by its control group's freezer, as ``docker pause`` does it; ``stopped``: by a signal or a
    debugger. ``node`` is a node, or what is behind one: ``edge1's engine``, or ``edge1's relay`` to one
    outside. To within the time between two looks: a tenth of a second, or more with many containers.

    ``failed``: requests that were under way meanwhile and ended in an error, or with a stand-in answer.
    """

    method: str
    node: str
    how: Literal["frozen", "stopped"]
    at_s: float
    seconds: float
    failed: int = 0


@dataclass(frozen=True)
class OwnTime:
    """Of a node's own times at a stretch under one method, the one of which most is not explained.

    ``at_s`` is its beginning. ``explained_ms`` of its ``own_ms`` are the CPU time of the node's container
    meanwhile, the time for which its quota held it back, and the time in which an event had it stand still.
    """

    method: str
    node: str
    request_id: str
    at_s: float
    own_ms: float
    explained_ms: float

    @property
    def unexplained_ms(self) -> float:
        return self.own_ms - self.explained_ms


@dataclass(frozen=True)
class Outcomes:
    """How the requests of one method ended: ``ended`` counts by outcome, ``repeated`` those with several.

    ``degraded``: answers that stand in for those of a tier which could not be reached.

    ``strange_answers``: answers that are none of the task's labels, where it has labels, or that are nothing
    at all; ``strange_answer`` is the first of them. ``judged``: whether the task holds answers against
    references at all; ``unscored``: answers that the task's own class gave no score; ``unscored_why`` is what
    it did with the first.

    ``made_up``: by tier, inferences whose answer and confidence no model gave. They speak against quality
    where a file of recordings lacked the prompt; in ``tiers_made_up`` all are made up, as the scenario gives
    those tiers no file.
    """

    method: str
    requests: int
    ended: Mapping[str, int]
    repeated: int = 0
    strange_answers: int = 0
    strange_answer: str | None = None
    judged: bool = True
    unscored: int = 0
    unscored_why: str | None = None
    made_up: Mapping[str, int] = field(default_factory=dict)
    tiers_made_up: tuple[str, ...] = ()
    degraded: int = 0


@dataclass(frozen=True)
class Lateness:
    """How long after its time in the trace the orchestrator sent a request of a method, in ms."""

    method: str
    requests: int
    p50_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, method: str, times_ms: Sequence[float]) -> Self:
        """The lateness of requests from each one's time; 0 without requests."""
        ordered = sorted(times_ms) or [0.0]
        p50_ms, p99_ms = (nearest_rank(ordered, share) for share in (0.5, 0.99))
        return cls(method, len(times_ms), p50_ms, p99_ms, ordered[-1])


@dataclass(frozen=True)
class Unexplained:
    """What of requests' latencies is no tier's and no hop's: the orchestrator's exchange with the device.

    ``requests`` are those of which everything was recorded, ``expected`` those of which it should have been
    (``is_explained`` and ``should_be_explained`` in :mod:`testbed.results.times`). Times in ms, ``None``
    without requests; a time below 0 was given to a tier or a hop twice.
    """

    method: str
    requests: int
    expected: int
    p1_ms: float | None
    p50_ms: float | None
    p99_ms: float | None
    max_ms: float | None

    @classmethod
    def of(cls, method: str, times_ms: Sequence[float], expected: int) -> Self:
        ordered = sorted(times_ms)
        if not ordered:
            return cls(method, 0, expected, None, None, None, None)
        p1_ms, p50_ms, p99_ms = (nearest_rank(ordered, share) for share in (0.01, 0.5, 0.99))
        return cls(method, len(ordered), expected, p1_ms, p50_ms, p99_ms, ordered[-1])


@dataclass(frozen=True)
class TierLimit:
    """A node's CPU limit as asked and as given, and how often it was throttled by it (100 ms periods).

    By method: ``requests`` that reached it, its CPU time (``ran_s``), how long its threads together waited
    for a CPU that the limit allowed (``waited_s``, :mod:`testbed.host.run_delay`; ``None`` where the kernel
    does not tell), and how long requests were there (``served_s``, :func:`testbed.results.times.served_s`;
    lacking in schemas up to 4 of ``fidelity.json``).
    """

    node: str
    cpus_asked: float
    cpus: float
    periods: int | None = None
    throttled_periods: int | None = None
    throttled_s: float | None = None
    requests: Mapping[str, int] = field(default_factory=dict)
    ran_s: Mapping[str, float | None] = field(default_factory=dict)
    waited_s: Mapping[str, float | None] = field(default_factory=dict)
    served_s: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class BrokenOff:
    """A method that did not come to its end: ``begun`` of its ``requests`` were sent.

    ``lost``: the nodes whose records are lost, since they had ended or did not answer.
    """

    method: str
    begun: int
    requests: int
    lost: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """All that the verdicts rest on. ``None``: it was not looked at; an empty sequence: it was.

    ``links_pending``: they are still to be measured after the replay, with a network that other runs share.
    ``lateness`` is ``None`` in lockstep, where no request has a time at which it should be sent.
    ``link_process`` has the link process's report under each method, ``None`` where there is none; it is
    empty where there are no links. ``own_times`` has an entry for each method and node that is a container
    and was asked. ``quotas`` are, by the name of each container, the limits of its CPUs that it was seen to
    have, in order; ``None`` is no limit. ``not_replayed`` are methods that the run did not come to.
    """

    accounts: Sequence[LinkAccount] | None = None
    audit: Audit | None = None
    outcomes: Sequence[Outcomes] | None = None
    links_before: Sequence[Finding] | None = None
    links_after: Sequence[Finding] | None = None
    links_pending: bool = False
    lateness: Sequence[Lateness] | None = None
    unexplained: Sequence[Unexplained] | None = None
    backlog: Mapping[str, Sequence[BacklogReport]] | None = None
    lockstep: bool = False
    closed_users: int | None = None
    cpu: Mapping[str, CpuReport] | None = None
    probes: Mapping[str, Sequence[ProbeReport]] | None = None
    tiers: Sequence[TierLimit] | None = None
    machine_cpus: float = 1
    link_process: Mapping[str, ProcessReport | None] | None = None
    stood_still: Sequence[StoodStill] | None = None
    own_times: Sequence[OwnTime] | None = None
    quotas: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    events: Sequence[EventRow] = ()
    overflows: Sequence[Overflow] = ()
    breakers: Sequence[BreakerReport] = ()
    changed_files: Sequence[ChangedFile] = ()
    broken_off: Sequence[BrokenOff] = ()
    not_replayed: Sequence[str] = ()
