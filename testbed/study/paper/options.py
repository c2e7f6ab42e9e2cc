"""What a call of ``make paper`` asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed.errors import TestbedError
from testbed.scenario.reading.mistakes import nearest
from testbed.study.paper import wire
from testbed.study.paper.claims import CLAIMS, Claim
from testbed.study.paper.ladders import EMBEDDED, HUB, Ladder

REQUESTS = {wire.SWEPT: 120, wire.UNREACHABLE: 300}
"""Of each run on the wire."""
SEEDS = 3
QUICK_REQUESTS = 30
HUB_LADDERS = "imdb,yelp-polarity,wmt19"
"""Those of which the paper's figures are known."""


@dataclass(frozen=True)
class Options:
    """A call.

    Attributes:
        out: the directory of its results.
        quick: fewer requests on the wire, one trace, and no unreachable tier.
        hub: the authors' models in place of the embedded ones.
        limit: rows that are recorded, at most.
        device: on which models are recorded.
        wire_refused: why nothing is to be measured on the wire; empty if it is.
    """

    out: Path
    quick: bool = False
    hub: bool = False
    limit: int | None = None
    device: str = "cpu"
    wire_refused: str = ""

    @property
    def seeds(self) -> int:
        """Of each sweep."""
        return 1 if self.quick else SEEDS

    def requests(self, kind: str) -> int:
        """Of each run of a sweep."""
        return QUICK_REQUESTS if self.quick and kind == wire.SWEPT else REQUESTS[kind]

    def command(self, claim: str, ladder: str) -> str:
        """The command that makes one line of the table anew."""
        hub = "HUB=1 " if self.hub else ""
        return f'{hub}make paper ARGS="--claims {claim} --ladders {ladder}{" --quick" if self.quick else ""}"'

    def shown(self, path: Path) -> Path:
        """A path as a command has it: from the top of the repository, where it is below that."""
        root = Path(__file__).parents[3]
        path = path.absolute()
        return path.relative_to(root) if path.is_relative_to(root) else path


def claims_named(listed: str | None) -> list[Claim]:
    """The claims that are asked for, by default all.

    Raises:
        TestbedError: there is no such claim.
    """
    names = _listed("--claims", listed, [claim.name for claim in CLAIMS])
    return [claim for claim in CLAIMS if claim.name in names]


def ladders_named(listed: str | None, hub: bool) -> list[Ladder]:
    """The ladders that are asked for: by default both embedded ones, or the hub's :data:`HUB_LADDERS`.

    Raises:
        TestbedError: there is no such ladder.
    """
    there = HUB if hub else EMBEDDED
    known = [ladder.name for ladder in there]
    names = _listed("--ladders", listed or (HUB_LADDERS if hub else None), known)
    return [ladder for ladder in there if ladder.name in names]


def _listed(option: str, listed: str | None, known: Sequence[str]) -> list[str]:
    if listed is None:
        return list(known)
    names = [name.strip() for name in listed.split(",") if name.strip()]
    if not names:
        raise TestbedError(f"{option}: names nothing; give one or more of {', '.join(known)}")
    for name in names:
        if name not in known:
            raise TestbedError(f"{option}: no {name!r}; {nearest(name, known)}")
    return names
