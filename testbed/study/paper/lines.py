"""Holds each claim against each ladder: a line of the table for each, whatever happens to its evidence."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from testbed.console import Quiet, Reporter
from testbed.errors import TestbedError
from testbed.host.processes.program import explained
from testbed.results.frontier import Frontier
from testbed.study.paper import wire
from testbed.study.paper.claims import Claim, Grid, OnWire
from testbed.study.paper.ladders import OTHER_CLOUD, Ladder, Recorded, recorded
from testbed.study.paper.options import Options
from testbed.study.paper.phases import ANEW, Phases
from testbed.study.paper.recorded import Values
from testbed.study.paper.verdicts import NotTestable, Value, Verdict, verdict_of
from testbed.study.sweep.points import Wanted as WantedSweep
from testbed.study.what_if.frontier import frontiers_of
from testbed.study.what_if.matrices import Wanted
from testbed.study.what_if.predict import WhatIf, what_if_grid

FAILURES = "failures.log"
"""Tracebacks of evidence that ended in a defect."""
SCORES = {"classification": "accuracy", "translation": "bleu"}


@dataclass(frozen=True)
class Line:
    """A claim on a ladder.

    Attributes:
        command: makes this line anew.
        by_hand: what it runs, by the testbed's own commands.
        minutes: that its evidence took; lines of one command share them.
        values: its figures by name, the first of them the chief one.
        criterion: what is to hold, in words.
        why: what speaks against the verdict ``reproduced``.
    """

    claim: str
    says: str
    ladder: str
    command: str
    by_hand: str
    minutes: float
    values: Mapping[str, Value]
    criterion: str
    published: str
    mark: str
    verdict: Verdict
    why: str

    def to_json(self) -> dict[str, Any]:
        """It for a file."""
        told = {
            name: {"value": value.estimate.value, "interval": value.estimate.interval, "words": value.words}
            for name, value in self.values.items()
        }
        return {**asdict(self), "values": told}


@dataclass
class OnLadder:
    """What was made of one ladder: shared by its claims, and drawn in the figures."""

    ladder: Ladder
    options: Options
    phases: Phases
    reporter: Reporter
    grids: dict[tuple[object, ...], WhatIf] = field(default_factory=dict)
    sweeps: dict[str, list[Any]] = field(default_factory=dict)
    found: Recorded | None = None
    lacking: str = ""
    """Why there is no recording, in a sentence."""

    @property
    def rising(self) -> str:
        """Whether the ladder rises, in words."""
        if self.found is None:
            return f"not there: {self.lacking}"
        steps = "; ".join(step.words for step in self.found.steps)
        return f"{'does not rise' if self.found.lacks else 'rises'}, {self.found.requests:,} prompts: {steps}"

    def record(self) -> None:
        """Make sure of the recording, or note why there is none."""
        with self.phases.timed(f"record {self.ladder.name}"):
            try:
                folder = self.options.out / "recordings"
                self.found = recorded(
                    self.ladder, folder, self.options.limit, self.options.device, self.reporter
                )
            except (TestbedError, OSError) as error:
                self.lacking = explained(error) or str(error)
                self.reporter.say(f"{self.ladder.name}: {self.lacking}")

    def grid(self, evidence: Grid) -> WhatIf:
        """The what-if of some evidence, once for all claims that rest on the same."""
        tiers = self.tiers(evidence)
        key = (*evidence.policies, *evidence.settings, tiers)
        if key not in self.grids:
            assert self.found is not None
            found = what_if_grid(
                [self.found.matrix], evidence.policies, evidence.settings, Wanted(tiers=tiers), Quiet()
            )
            found.check()
            self.grids[key] = found
        return self.grids[key]

    def tiers(self, evidence: Grid) -> str:
        """The tiers with their models, as ``--tiers`` has them."""
        assert self.found is not None
        names = list(self.found.tiers)
        if not evidence.other_cloud:
            return ",".join(names)
        if self.found.has_other_cloud:
            return ",".join([*names[:-1], f"{names[-1]}={OTHER_CLOUD}"])
        return f"{names[0]},{names[-1]}={names[-2]}"  # of two tiers: there is no fourth model

    def frontier(self) -> Frontier | None:
        """Quality against burden of the methods that are compared, if that was made."""
        for key, found in self.grids.items():
            if "casserve" in key:
                return frontiers_of(found).frontiers[0]
        return None

    def swept(self, evidence: OnWire) -> list[Any]:
        """The runs of a sweep, once for all claims that rest on it."""
        if evidence.kind not in self.sweeps:
            assert self.found is not None
            if self.options.wire_refused:
                raise NotTestable(self.options.wire_refused)
            if self.options.quick and evidence.kind == wire.UNREACHABLE:
                raise NotTestable("left out by --quick")
            wire.require_host()
            path, wanted = self.sweep_asked(evidence)
            tiers = {tier: tier for tier in self.found.tiers}
            wire.write_scenario(
                evidence.kind, self.found.matrix, tiers, self.options.requests(evidence.kind), path
            )
            self.sweeps[evidence.kind] = wire.swept(wanted, path.with_suffix(""), self.reporter)
        return self.sweeps[evidence.kind]

    def sweep_asked(self, evidence: OnWire) -> tuple[Path, WantedSweep]:
        """The sweep's scenario and what is asked of it."""
        path = self.options.out / "wire" / f"{self.ladder.name}-{evidence.kind}.yaml"
        if evidence.kind == wire.UNREACHABLE:
            return path, WantedSweep(path, wire.READINGS)
        return path, WantedSweep(path, (), repeat=self.options.seeds)


def line_of(claim: Claim, on: OnLadder) -> Line:
    """A claim's line on a ladder; a failure is a line, too."""
    started_s = time.monotonic()
    kind = on.found.kind if on.found else _kind(on.ladder)
    conditions = claim.conditions(SCORES[kind])
    values: Values = {}
    with on.phases.timed(_phase(claim, on)):
        try:
            values, verdict, why = _measured(claim, on, kind)
        except NotTestable as error:
            verdict, why = "not testable here", str(error)
        except (
            Exception
        ) as error:  # whatever it is, the other claims are held against the ladder all the same
            sentence = explained(error)
            if sentence is None:
                sentence = f"{type(error).__name__}: {error}"
                with (on.options.out / FAILURES).open("a") as log:
                    log.write(f"{claim.name}, {on.ladder.name}\n{traceback.format_exc()}\n")
            verdict, why = "failed", sentence
    published = claim.published_of(on.ladder.published, kind)
    return Line(
        claim=claim.name,
        says=claim.says,
        ladder=on.ladder.name,
        command=on.options.command(claim.name, on.ladder.name),
        by_hand=_by_hand(claim, on) if on.found else "",
        minutes=on.phases.minutes(_phase(claim, on), time.monotonic() - started_s),
        values=values,
        criterion="; ".join(condition.words for condition in conditions),
        published=published,
        mark=claim.mark if published else "-",
        verdict=verdict,
        why=why,
    )


def _measured(claim: Claim, on: OnLadder, kind: str) -> tuple[Values, Verdict, str]:
    """A claim's figures, and what is to be said of them."""
    if on.found is None:
        raise NotTestable(on.lacking)
    if claim.rising and on.found.lacks:
        raise NotTestable(on.found.lacks)
    if isinstance(claim.evidence, Grid):
        values = claim.evidence.measure(on.grid(claim.evidence))
        doubts = ""
    else:
        runs = on.swept(claim.evidence)
        values = claim.evidence.measure(runs)
        doubts = wire.doubts(runs)
    if doubts:
        return {}, "n/v", doubts
    return values, *verdict_of(claim.conditions(SCORES[kind]), values)


def _phase(claim: Claim, on: OnLadder) -> str:
    """Under what name the time of a claim's evidence is kept."""
    if isinstance(claim.evidence, OnWire):
        return f"{on.ladder.name} on the wire, {claim.evidence.kind}"
    return f"{on.ladder.name} {ANEW}"


def _kind(ladder: Ladder) -> str:
    """The kind of task of a ladder without a recording."""
    import yaml

    return str(yaml.safe_load(ladder.scenario.read_text())["task"]["kind"])


def _by_hand(claim: Claim, on: OnLadder) -> str:
    """The testbed's command with which the same figures are had."""
    assert on.found is not None
    if isinstance(claim.evidence, Grid):
        return claim.evidence.by_hand(str(on.options.shown(on.found.matrix)), on.tiers(claim.evidence))
    path, wanted = on.sweep_asked(claim.evidence)
    return claim.evidence.by_hand(str(on.options.shown(path)), wanted.given, wanted.repeat)


def held(claims: Sequence[Claim], ladders: Sequence[OnLadder], done: Callable[[Line], None]) -> None:
    """Hold all claims against all ladders: first from recordings, then what takes a network."""
    for on in ladders:
        on.record()
    for kind in (Grid, OnWire):
        for claim in claims:
            if isinstance(claim.evidence, kind):
                for on in ladders:
                    done(line_of(claim, on))


@contextmanager
def in_order(claims: Sequence[Claim]) -> Iterator[list[Line]]:
    """Lines that are collected in the block, and then stand in the order of the claims."""
    lines: list[Line] = []
    yield lines
    places = {claim.name: at for at, claim in enumerate(claims)}
    lines.sort(key=lambda line: places[line.claim])
