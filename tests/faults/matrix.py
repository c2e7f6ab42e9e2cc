"""Faults, phases of a run, and what must hold of a run with one fault in one phase.

Nothing here touches a run: a :class:`Seen` goes in, complaints come out. A complaint's first word says its
kind: ``left`` (in the kernel, in Docker, a process), ``lost`` (what was measured), ``untrue`` (a verdict),
``unsaid`` (no sentence, or another exit status than is promised).
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

Phase = Literal[
    "preparing",
    "starting",
    "loading",
    "warming",
    "measuring",
    "replaying",
    "accounting",
    "judging",
    "sealing",
]
PHASES: Mapping[Phase, str] = {
    "preparing": "the scenario is read; image and models are made ready",
    "starting": "containers and links come up",
    "loading": "tiers load their models",
    "warming": "tiers infer for the first time, and CPUs are limited",
    "measuring": "links are measured before the replay",
    "replaying": "the second of two methods is replayed, and frames cross its link",
    "accounting": "that method's captures have ended; its bytes are counted and its rows written",
    "judging": "the network is down; verdicts are worked out",
    "sealing": "verdicts are written; summary, seal and page follow",
}
"""The phases in their order, and what a run does in them."""

Target = Literal["run", "link process", "capture", "tier", "engine", "disk"]
Act = Literal["signal", "kill", "stop", "fill"]
STOPPED_S = 5.0
"""How long a process that is stopped stands still."""


@dataclass(frozen=True)
class Fault:
    """Something that happens to a run, or to what it rests on."""

    name: str
    target: Target
    act: Act
    number: signal.Signals | None = None


FAULTS = (
    Fault("SIGINT", "run", "signal", signal.SIGINT),
    Fault("SIGTERM", "run", "signal", signal.SIGTERM),
    Fault("SIGHUP", "run", "signal", signal.SIGHUP),
    Fault("SIGKILL", "run", "kill"),
    Fault("link process killed", "link process", "kill"),
    Fault("capture killed", "capture", "kill"),
    Fault("tier killed", "tier", "kill"),
    Fault("engine killed", "engine", "kill"),
    Fault("disk full", "disk", "fill"),
    Fault("run stands still", "run", "stop"),
    Fault("link process stands still", "link process", "stop"),
    Fault("capture stands still", "capture", "stop"),
    Fault("tier stands still", "tier", "stop"),
)
_LIVES: Mapping[Target, tuple[Phase, Phase]] = {
    "link process": ("starting", "accounting"),
    "capture": ("replaying", "replaying"),
    "tier": ("starting", "accounting"),
}
"""The first and the last phase in which a part of a run exists; others always do."""

METHODS = ("recserve", "cloud-only")
"""The methods of the scenario, in their order; faults come in the second."""
REQUESTS = 16
TIER = "cloud1"
"""The node that faults of a tier happen to."""
CLAIMS = ("bytes", "decisions", "quality", "latency")


@dataclass(frozen=True)
class Cell:
    """One fault in one phase."""

    fault: Fault
    phase: Phase

    def __str__(self) -> str:
        return f"{self.fault.name} while {self.phase}"

    @property
    def lacks_target(self) -> str | None:
        """Why there is nothing that the fault could happen to; ``None`` if there is."""
        first, last = (place(phase) for phase in _LIVES.get(self.fault.target, ("preparing", "sealing")))
        if place(self.phase) < first:
            return "not yet"
        return "ended" if place(self.phase) > last else None


def place(phase: Phase) -> int:
    """A phase's place in the order of phases."""
    return list(PHASES).index(phase)


CELLS = tuple(Cell(fault, phase) for fault in FAULTS for phase in PHASES)


def cell_of(name: str) -> Cell:
    """The cell with this name, such as ``SIGINT while loading``; a ValueError if there is none."""
    for cell in CELLS:
        if str(cell) == name:
            return cell
    raise ValueError(f"no fault and phase are called {name!r}; one is {str(CELLS[0])!r}")


@dataclass(frozen=True)
class Seen:
    """What was found after a run with a fault.

    Attributes:
        status: its exit status; a signal's number, negative, if that ended it.
        sentence: the last line that it printed.
        took_s: from the fault to its end.
        left: what was there of it in the kernel, in Docker and as processes when it had ended.
        left_after_clean: the same after ``testbed clean``, which is tried where something may be left.
        rows: requests in the tables, by method; ``None`` without a table.
        manifest: its status in ``manifest.json``; ``None`` without one.
        sealed: whether the seal is there and holds; ``None`` without a manifest, which is no run directory.
        report: exit status of ``testbed report`` on it, and the last line.
        faithful: each verdict; empty without verdicts.
        reasons: against each verdict.
        commit: of the testbed that was tried.
    """

    status: int
    sentence: str
    traceback: bool
    took_s: float
    left: tuple[str, ...] = ()
    left_after_clean: tuple[str, ...] = ()
    rows: Mapping[str, int] | None = None
    manifest: str | None = None
    sealed: bool | None = None
    report: tuple[int, str] | None = None
    report_traceback: bool = False
    faithful: Mapping[str, bool] = field(default_factory=dict)
    reasons: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    commit: str = ""


def complaints(cell: Cell, seen: Seen) -> list[str]:
    """Everything that does not hold of a run with this fault."""
    return [*_left(cell, seen), *_lost(cell, seen), *_untrue(cell, seen), *_unsaid(cell, seen)]


def may_leave(fault: Fault) -> bool:
    """Whether a run cannot remove all that it made, so that ``testbed clean`` has to."""
    return fault.name in ("SIGKILL", "engine killed")


def _left(cell: Cell, seen: Seen) -> Iterator[str]:
    if seen.left and not may_leave(cell.fault):
        yield f"left: {', '.join(seen.left)}"
    if seen.left_after_clean:
        yield f"left after `testbed clean`: {', '.join(seen.left_after_clean)}"


def all_measured(cell: Cell, seen: Seen) -> bool:
    """Whether the run measured all that it was to, however it ended.

    The engine is needed for containers to start, be limited and be removed, and for nothing between.
    """
    last_needed: Phase = "measuring" if cell.fault.target == "engine" else "judging"
    return seen.status == 0 or place(cell.phase) >= place(last_needed)


def requests_to_keep(cell: Cell, seen: Seen) -> Mapping[str, int]:
    """How many requests of each method must be in the tables at least."""
    first, second = METHODS
    if all_measured(cell, seen):
        return dict.fromkeys(METHODS, REQUESTS)
    if place(cell.phase) < place("replaying"):
        return {}
    if cell.fault.name == "SIGKILL":  # nobody can write the second any more
        return {first: REQUESTS}
    return {first: REQUESTS, second: 1 if cell.phase == "replaying" else REQUESTS}


def _lost(cell: Cell, seen: Seen) -> Iterator[str]:
    wanted = requests_to_keep(cell, seen)
    for method, least in wanted.items():
        if (kept := (seen.rows or {}).get(method, 0)) < least:
            yield f"lost: {least - kept} of {least} requests of {method}"
    if seen.sealed is False and cell.fault.name != "SIGKILL":
        yield "lost: the seal is missing or does not hold"
    if seen.manifest == "running" and cell.fault.name != "SIGKILL":
        yield "lost: the manifest says that the run is still going on"
    if seen.sealed is None and wanted:
        yield "lost: there is no run directory"


SECONDS_LATE = {
    "run": r"sent late, .* [2-9]\d{3}\.\d ms at most|was sent [2-9]\d{3} ms late",
    "link process": r"ms late at p99 and [2-9]\d{3}\.\d+ ms at most|held up a frame for [2-9]\d{3} ms",
}
"""What is said of a part that stood still; a busy host makes it late, too, but not by 2 s and more."""
WRONG: Mapping[tuple[str, Phase], Mapping[str, str]] = {
    ("capture killed", "replaying"): {"bytes": "tcpdump"},
    ("disk full", "replaying"): {"bytes": "", "latency": ""},
    ("link process killed", "replaying"): {"bytes": "", "latency": ""},
    ("tier killed", "replaying"): {"quality": TIER, "latency": ""},
    ("run stands still", "replaying"): {"latency": SECONDS_LATE["run"]},
    ("link process stands still", "replaying"): {"latency": SECONDS_LATE["link process"]},
    ("tier stands still", "replaying"): {"latency": f"{TIER} stood still"},
}
"""Claims that a fault has made wrong, whatever else is so, each with a pattern of what a reason must name."""
RIGHT: Mapping[tuple[Act, Target], tuple[str, ...]] = {
    ("signal", "run"): ("bytes", "decisions"),
    ("kill", "tier"): ("bytes",),
    ("kill", "link process"): ("decisions",),
    ("fill", "disk"): ("decisions",),
}
"""Claims that hold of what was replayed, although the fault ended the run while it replayed or accounted."""


def _untrue(cell: Cell, seen: Seen) -> Iterator[str]:
    wrong = WRONG.get((cell.fault.name, cell.phase), {})
    for claim, culprit in wrong.items():
        if seen.faithful.get(claim):
            yield f"untrue: {claim} may be believed, it says"
        elif seen.faithful and not any(re.search(culprit, reason) for reason in seen.reasons.get(claim, ())):
            yield f"untrue: no reason against {claim} names {culprit!r}"
    for claim in CLAIMS:
        reasons = seen.reasons.get(claim, ())
        if claim in seen.faithful and seen.faithful[claim] == bool(reasons):
            yield f"untrue: {claim} is {seen.faithful[claim]} with {len(reasons)} reasons against it"
    if not seen.faithful:
        return
    if place(cell.phase) < place("replaying") and not any((seen.rows or {}).values()):
        for claim in CLAIMS:
            if seen.faithful[claim]:
                yield f"untrue: {claim} may be believed, it says, although nothing was replayed"
    if not all_measured(cell, seen) and seen.faithful["latency"]:
        yield "untrue: latency may be believed, it says, although the links were not measured again"
    right: tuple[str, ...] = ()
    if all_measured(cell, seen):
        right = ("bytes", "decisions", "quality")
    elif cell.phase in ("replaying", "accounting"):
        right = RIGHT.get((cell.fault.act, cell.fault.target), ())
    for claim in right:
        if claim not in wrong and not seen.faithful[claim]:
            yield f"untrue: {claim} may not be believed, it says: {[*seen.reasons.get(claim, ()), ''][0]}"


def promised_statuses(cell: Cell) -> tuple[int, ...]:
    """The exit statuses that a run with this fault may have."""
    fault, at = cell.fault, place(cell.phase)
    if fault.number is not None:
        return (128 + fault.number,)
    if fault.name == "SIGKILL":
        return (-signal.SIGKILL,)
    if fault.act == "stop" or fault.target == "capture":
        return (0,)
    if fault.target == "engine":  # which a run starts anew before it has containers, and needs no more after
        return (0,) if at < place("starting") or at >= place("judging") else (1,)
    if fault.target == "disk" and at >= place("judging"):  # its last words have their room, its page may not
        return (0, 1)
    return (1,)


NAMED: Mapping[Target, str] = {
    "link process": "link process",
    "tier": TIER,
    "engine": "Docker",
    "disk": "space",
}
"""What the sentence must name that a run ends with, by what has failed."""


ENDED_EARLY = ("failed", "interrupted", "terminated")


def _unsaid(cell: Cell, seen: Seen) -> Iterator[str]:
    promised = promised_statuses(cell)
    if seen.status not in promised:
        yield f"unsaid: exit status {seen.status} in place of {' or '.join(map(str, promised))}"
    if seen.traceback:
        yield "unsaid: it ended with a traceback"
    if seen.status > 0 and not seen.sentence.startswith("testbed: "):
        yield f"unsaid: its last line is no sentence of its own: {seen.sentence!r}"
    number = cell.fault.number
    if number is not None:
        told = "testbed: interrupted" if number == signal.SIGINT else "testbed: terminated"
        if seen.sentence != told:
            yield f"unsaid: its last line is not {told!r}: {seen.sentence!r}"
    elif seen.status > 0 and (culprit := NAMED.get(cell.fault.target, "")) not in seen.sentence:
        yield f"unsaid: its last line does not name {culprit!r}: {seen.sentence!r}"
    if seen.report_traceback:
        yield "unsaid: `testbed report` ended with a traceback"
    ended_well = seen.manifest == "finished" and seen.sealed is True
    if seen.report is not None and seen.status >= 0 and (seen.report[0] == 0) != ended_well:
        yield f"unsaid: `testbed report` on a run that is {seen.manifest} ended with {seen.report[0]}"
    if seen.report is not None and seen.manifest in ENDED_EARLY and "ended early" not in seen.report[1]:
        yield f"unsaid: `testbed report` does not say that the run ended early: {seen.report[1]!r}"
