"""Writes what was found after each fault as a page: ``docs/RELIABILITY.md``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping

from tests.faults.matrix import (
    CELLS,
    CLAIMS,
    FAULTS,
    METHODS,
    PHASES,
    REQUESTS,
    STOPPED_S,
    Cell,
    Phase,
    Seen,
    complaints,
)

HEAD = """\
# What breaks, and what is left of it

**Do not edit: `make faults` wrote this page** from {tried} real runs on {host} ({date}, commit
{commit}). Each is `testbed run` of `tests/faults/small.yaml`: two tiers that answer from recordings,
under {methods}, {requests} requests each. Something happens to it once, in one phase. What is
found then is below: in the kernel, in Docker and among processes, in the run directory, and in what
`testbed report` says. `tests/faults/matrix.py` has what must hold.

- *Left*: after a run that can still act, nothing. After SIGKILL, or where the Docker engine is dead,
  `testbed clean` removes what is left, and the page says what that was.
- *Kept*: every method that had been replayed is whole in the tables, and the seal holds.
- *Verdicts*: none is true that the fault made wrong. In a run that goes on to its end, bytes, decisions and
  quality are false only where the fault speaks against them. Latency may be false because of the host, too.
- *Said*: one sentence, an exit status, and no traceback; `report` is the exit status of `testbed report`,
  0 only of runs that finished.

A cell says `holds`, or what does not: `left`, `lost`, `untrue` or `unsaid`.
"""
GRID_HEAD = "## All faults in all phases"
TARGETS = f"""\
*Killed* is SIGKILL. *Stands still* is SIGSTOP for {STOPPED_S:g} s, then SIGCONT. A full disk is the run
directory's own, filled to the last byte. The phases:
"""


def document(found: Mapping[Cell, Seen], soak: str, *, host: str, date: str, commit: str) -> str:
    """The page. ``soak`` is its last chapter's text, in Markdown; without one there is no such chapter."""
    parts = [
        HEAD.format(
            tried=len(found),
            host=host,
            date=date,
            commit=commit,
            methods=f"{' and '.join(METHODS)}",
            requests=REQUESTS,
        ),
        f"{GRID_HEAD}\n\n{TARGETS}\n" + "\n".join(_phases()),
        "\n".join(_grid(found)),
    ]
    parts += ["\n".join(_chapter(phase, found)) for phase in PHASES]
    if soak:
        parts.append(f"## An hour of it\n\n{soak.strip()}")
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _phases() -> Iterator[str]:
    yield from (f"- *{phase}*: {what}." for phase, what in PHASES.items())


def _grid(found: Mapping[Cell, Seen]) -> Iterator[str]:
    yield _row("fault", *PHASES)
    yield _row(*["---"] * (1 + len(PHASES)))
    for fault in FAULTS:
        yield _row(fault.name, *(_verdict(Cell(fault, phase), found) for phase in PHASES))


def _verdict(cell: Cell, found: Mapping[Cell, Seen]) -> str:
    if cell.lacks_target:
        return cell.lacks_target
    if cell not in found:
        return "not tried"
    kinds = dict.fromkeys(wrong.partition(":")[0].split()[0] for wrong in complaints(cell, found[cell]))
    return " ".join(f"**{kind}**" for kind in kinds) or "holds"


def _chapter(phase: Phase, found: Mapping[Cell, Seen]) -> Iterator[str]:
    yield f"## While {phase}\n"
    columns = ("fault", "exit", "left", "kept", *CLAIMS, "report", "said last")
    yield _row(*columns)
    yield _row(*["---"] * len(columns))
    for fault in FAULTS:
        cell = Cell(fault, phase)
        if cell.lacks_target is None and cell in found:
            yield _row(*_cells(cell, found[cell]))
    wrong = [(fault, found[cell]) for fault in FAULTS if (cell := Cell(fault, phase)) in found]
    told = [
        f"- {fault.name}: {text}" for fault, seen in wrong for text in complaints(Cell(fault, phase), seen)
    ]
    if told:
        yield "\nWhat does not hold:\n"
        yield from told


def _cells(cell: Cell, seen: Seen) -> Iterator[str]:
    yield cell.fault.name
    yield f"{seen.status}" if seen.status >= 0 else f"signal {-seen.status}"
    yield "nothing" if not seen.left else f"{kinds(seen.left)}; after `clean` {kinds(seen.left_after_clean)}"
    yield _kept(cell, seen)
    for claim in CLAIMS:
        yield "-" if claim not in seen.faithful else "true" if seen.faithful[claim] else "false"
    yield "-" if seen.report is None else f"{seen.report[0]}"
    yield _shown(seen.sentence) if seen.status > 0 else "-" if seen.status < 0 else "its tables"


def _kept(cell: Cell, seen: Seen) -> str:
    if seen.sealed is None:
        return "no run directory"
    rows = [f"{method} {(seen.rows or {}).get(method, 0)}" for method in METHODS]
    how = f"sealed, {seen.manifest}" if seen.sealed else f"not sealed, {seen.manifest}"
    return f"{', '.join(rows)}; {how}"


def kinds(left: Collection[str]) -> str:
    """What is left in a few words: ``2 containers, 1 lock``."""
    counted = Counter(found.split()[0] for found in left)
    words = [
        f"{count} {kind}{('es' if kind == 'process' else 's') * (count > 1)}"
        for kind, count in counted.items()
    ]
    return ", ".join(words) or "nothing"


def _shown(sentence: str) -> str:
    """A sentence of a run, without what is this run's alone."""
    sentence = re.sub(r"\btb[a-z0-9]{4}(?=[a-z-])", "tb", sentence.removeprefix("testbed: "))
    sentence = re.sub(r"/tmp/[^\s:;,]*", "/tmp/…", sentence)
    return sentence.replace("|", "\\|")[:200]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def holds(found: Mapping[Cell, Seen], cells: Iterable[Cell] = CELLS) -> bool:
    """Whether each of the cells was tried, and holds."""
    return all(cell.lacks_target or (cell in found and not complaints(cell, found[cell])) for cell in cells)
