"""Holds each claim against each ladder: a line of the table for each, whatever happens to its evidence."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from testbed.study.paper import wire
from testbed.study.paper.claims import Claim, Grid, OnWire
from testbed.study.paper.ladders import Ladder
from testbed.study.paper.on_ladder import OnLadder
from testbed.study.paper.phases import ANEW
from testbed.study.paper.recorded import Values
from testbed.study.paper.verdicts import Condition, NotTestable, Value, Verdict, verdict_of

SCORES = {"classification": "accuracy", "translation": "bleu"}
NO_OTHER_CLOUD = (
    "no fourth model was recorded; with two tiers the burden is about β whatever the models are, "
    "so that these figures say little of the claim"
)


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
            name: {
                "value": value.estimate.value,
                "interval": value.estimate.interval,
                "unit": value.unit,
                "counted": value.is_counted,
                "words": value.words,
            }
            for name, value in self.values.items()
        }
        return {**asdict(self), "values": told}


def line_of(claim: Claim, on: OnLadder) -> Line:
    """A claim's line on a ladder; a failure is a line, too."""
    started_s = time.monotonic()
    kind = on.found.kind if on.found else _kind(on.ladder)
    conditions = claim.conditions(SCORES[kind])
    values: Values = {}
    with on.phases.timed(_phase(claim, on)):
        try:
            values, verdict, why = _measured(claim, on, conditions)
        except NotTestable as error:
            verdict, why = "not testable here", str(error)
        # Whatever else it is, the other claims are held against the ladder all the same.
        except Exception as error:
            verdict, why = "failed", on.told(error, claim.name)
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


def _measured(claim: Claim, on: OnLadder, conditions: Sequence[Condition]) -> tuple[Values, Verdict, str]:
    """A claim's figures, and what is to be said of them."""
    if on.found is None:
        raise NotTestable(on.lacking)
    if claim.rising and on.found.lacks:
        raise NotTestable(on.found.lacks)
    if isinstance(claim.evidence, Grid):
        values = claim.evidence.measure(on.grid(claim.evidence))
        doubts = ""
        if claim.evidence.other_cloud and not on.found.has_other_cloud:
            return values, "not testable here", NO_OTHER_CLOUD
    else:
        runs = on.swept(claim.evidence)
        values = claim.evidence.measure(runs)
        doubts = wire.doubts(runs)
    if doubts:
        return {}, "n/v", doubts
    return values, *verdict_of(conditions, values)


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
    path = on.scenario_path(claim.evidence)
    given = wire.wanted_of(claim.evidence.kind, path, on.seeds(claim.evidence)).given
    return claim.evidence.by_hand(str(on.options.shown(path)), given)


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
