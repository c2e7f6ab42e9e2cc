"""The made parts of docs/PAPER.md: the artifact appendix, and the table of a run.

``python -m tests.study.paper.appendix`` writes the appendix anew: each claim, what is run for it, when it
counts as reproduced, and the minutes of the page's run. With the directory of a whole ``make paper`` behind
it, first that run's table, and its figures, take the place of the page's.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from testbed.study.paper import wire
from testbed.study.paper.claims import CLAIMS, Claim, Grid
from testbed.study.paper.ladders import OTHER_CLOUD
from testbed.study.paper.lines import SCORES
from testbed.study.paper.options import SEEDS
from testbed.study.paper.table import HEADS, NAME
from tests import ROOT

KEPT = ROOT / "docs" / "PAPER.md"
HEADING = "## Artifact appendix: the claims, one by one"
COLUMNS = ("claim", "ladder", "verdict", "value [95 %]", "min", "published", "mark", "command")
"""A run's, in an order of which a narrow page shows the chief ones without scrolling."""
BEGIN = "<!-- made from a run by python -m tests.study.paper.appendix DIR -->\n\n"
END = "\n<!-- so far -->"
PICTURES = {"paper-burden": "burden-by-beta", "paper-bytes": "bytes-by-cause-classification"}
"""The page's, and which of a run's figures they are."""


def appendix(page: str) -> str:
    """The section as the list of claims is now, with the minutes, host and disk of the page's run."""
    return "\n".join([HEADING, "", _needs(page), *(_claim(claim, page) for claim in CLAIMS)])


def kept(page: str) -> tuple[str, str, str]:
    """A page in three: what is before the section, the section, and what follows it."""
    before, heading, rest = page.partition(HEADING)
    section, following, after = rest.partition("\n## ")
    return before, heading + section, following + after


def of_run(folder: Path) -> str:
    """A run's table and notes as its ``paper.md`` has them, but for links to claims and :data:`COLUMNS`."""
    table, _, notes = (folder / f"{NAME}.md").read_text().partition("\n\n")
    names = [line["claim"] for line in json.loads((folder / f"{NAME}.json").read_text())]
    heads, under, *rows = map(_cells, table.splitlines())
    for name, row in zip(names, rows, strict=True):
        row["claim"] = f"[{name}](#{name})"
    lines = ["| " + " | ".join(row[head] for head in COLUMNS) + " |" for row in (heads, under, *rows)]
    return "\n".join([*lines, "", notes])


def rows_of(page: str) -> list[dict[str, str]]:
    """The rows of the page's table, by the heads of its columns; of a claim, its name."""
    rows = re.findall(r"^(\| )\[([\w-]+)\]\(#\2\)( \| .* \|)$", page, re.MULTILINE)
    return [_cells("".join(row), COLUMNS) for row in rows]


def _cells(row: str, heads: Sequence[str] = HEADS) -> dict[str, str]:
    """A table's row in Markdown by the heads of its columns; a bar within a cell is written otherwise."""
    return dict(zip(heads, row.strip("| ").split(" | "), strict=True))


def by_hand(claim: Claim) -> dict[str, str]:
    """The testbed's commands that have a claim's figures, by when they do; mostly there is one."""
    if not isinstance(claim.evidence, Grid):
        path = Path(f"DIR/wire/LADDER-{claim.evidence.kind}.yaml")
        given = wire.wanted_of(claim.evidence.kind, path, SEEDS).given
        return {"": claim.evidence.by_hand(str(path), given)}
    if not claim.evidence.other_cloud:
        return {"": claim.evidence.by_hand("MATRIX", "device,edge,cloud")}
    return {
        " with a fourth model recorded": claim.evidence.by_hand("MATRIX", f"device,edge,cloud={OTHER_CLOUD}"),
        " without one": claim.evidence.by_hand("MATRIX", "device,cloud=edge"),
    }


def _needs(page: str) -> str:
    """What all takes: what the README asks for, and what the page's run noted."""
    room = re.search(r"with (two CPUs, .* disk),", (ROOT / "README.md").read_text())
    assert room is not None
    host, disk, minutes = (_note(page, name) for name in ("host", "disk", "minutes"))
    return "\n".join([
        f"- Hardware: {room[1]}; root, for what is measured on the wire; no GPU. The "
        f"[run below](#a-run-of-it) had {host}.",
        f"- Disk: the run below left {disk}.",
        "- Software: Debian 12 or 13, or Ubuntu 24.04; `make paper` installs what is missing.",
        f"- Minutes: {minutes.partition(':')[0]}, once the translation ladder is recorded. Those of a claim, "
        "below, are that run's, too; claims that rest on one sweep share its minutes.",
    ])  # fmt: skip


def _note(page: str, name: str) -> str:
    """What a note below the page's table says."""
    found = re.search(rf"^- {name}: (.*)$", page.partition(BEGIN)[2], re.MULTILINE)
    assert found is not None, f"{KEPT}: the run's table has no note of its {name}"
    return found[1]


def _claim(claim: Claim, page: str) -> str:
    lines = [f"\n### {claim.name}", "", claim.says, "", f'- Run: `make paper ARGS="--claims {claim.name}"`']
    lines += [f"- By hand{when}: `{command}`" for when, command in by_hand(claim).items()]
    minutes = [f"{row['ladder']} {row['min']}" for row in rows_of(page) if row["claim"] == claim.name]
    lines += [f"- Minutes: {', '.join(minutes)}", *_conditions(claim)]
    for kind in SCORES:
        if claim.published.get(kind):
            lines.append(f"- Published ({kind}; mark *{claim.mark}*): {claim.published[kind]}")
    if claim.ours:
        lines.append("- Not among the paper's claims.")
    lines.append("- Takes a ladder that rises." if claim.rising else "- Takes any ladder.")
    return "\n".join(lines)


def _conditions(claim: Claim) -> Iterator[str]:
    """When it counts as reproduced, once where that is the same of both scores."""
    told = {
        kind: "; ".join(condition.words for condition in claim.conditions(score))
        for kind, score in SCORES.items()
    }
    same = len(set(told.values())) == 1
    for kind, words in told.items():
        yield f"- Reproduced if{'' if same else f' ({kind})'}: {words}"
        if same:
            return


def write(folder: Path | None) -> None:
    """Write the page's made parts anew: those of a run first, if its directory is given."""
    page = KEPT.read_text()
    if folder is not None:
        before, begin, rest = page.partition(BEGIN)
        _, end, after = rest.partition(END)
        page = before + begin + of_run(folder) + end + after
        for name, figure in PICTURES.items():
            shutil.copyfile(folder / "figures" / f"{figure}.svg", KEPT.parent / "pictures" / f"{name}.svg")
    before, _, after = kept(page)
    KEPT.write_text(before + appendix(page) + "\n" + after)


if __name__ == "__main__":
    write(Path(sys.argv[1]) if sys.argv[1:] else None)
