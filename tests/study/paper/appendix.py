"""The artifact appendix in docs/PAPER.md: each claim, what is run for it, and what is to hold.

``python -m tests.study.paper.appendix`` writes it anew.
"""

from __future__ import annotations

from pathlib import Path

from testbed.study.paper import wire
from testbed.study.paper.claims import CLAIMS, Claim, Grid
from testbed.study.paper.lines import SCORES
from testbed.study.paper.options import SEEDS
from tests import ROOT

KEPT = ROOT / "docs" / "PAPER.md"
HEADING = "## The claims, one by one"


def appendix() -> str:
    """The section as the list of claims is now."""
    return "\n".join([HEADING, *map(_claim, CLAIMS)])


def kept() -> tuple[str, str, str]:
    """The page: what is before the section, the section, and what follows it."""
    before, heading, rest = KEPT.read_text().partition(HEADING)
    section, following, after = rest.partition("\n## ")
    return before, heading + section, following + after


def _claim(claim: Claim) -> str:
    lines = [f"\n### {claim.name}", "", claim.says, "", f'- Run: `make paper ARGS="--claims {claim.name}"`']
    lines += [f"- By hand: `{_by_hand(claim)}`", *_conditions(claim)]
    for kind in SCORES:
        if claim.published.get(kind):
            lines.append(f"- Published ({kind}; mark *{claim.mark}*): {claim.published[kind]}")
    if claim.ours:
        lines.append("- Not among the paper's claims.")
    lines.append("- Takes a ladder that rises." if claim.rising else "- Takes any ladder.")
    return "\n".join(lines)


def _by_hand(claim: Claim) -> str:
    if isinstance(claim.evidence, Grid):
        other = "device,cloud=edge, or device,edge,cloud=other-cloud"
        return claim.evidence.by_hand("MATRIX", other if claim.evidence.other_cloud else "device,edge,cloud")
    path = Path(f"DIR/wire/LADDER-{claim.evidence.kind}.yaml")
    return claim.evidence.by_hand(str(path), wire.wanted_of(claim.evidence.kind, path, SEEDS).given)


def _conditions(claim: Claim) -> list[str]:
    """What is to hold, once where it is the same of both scores."""
    told = {
        kind: "; ".join(condition.words for condition in claim.conditions(score))
        for kind, score in SCORES.items()
    }
    if len(set(told.values())) == 1:
        return [f"- Is to hold: {next(iter(told.values()))}"]
    return [f"- Is to hold ({kind}): {words}" for kind, words in told.items()]


if __name__ == "__main__":
    before, _, after = kept()
    KEPT.write_text(before + appendix() + "\n" + after)
