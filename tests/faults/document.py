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
# If something breaks: what is left, kept and said

**Do not edit: `make faults` wrote this page** from {tried} real runs on {host} ({when}).

Whatever ends a run or breaks into it: what was measured is kept, what is said is true, and nothing stays
behind that `testbed clean` does not remove. The first line of `testbed report RUN` says of a run whether it
came to its end, and what ended it. A run that ended with status 0 has all that was asked for; its verdicts
say what of that to believe.

| what happens | exit status | left in the kernel and in Docker | what you have | what to do |
| --- | --- | --- | --- | --- |
{summary}

A tier that is paused for good (`docker pause`, a debugger) is waited for 10 s after its requests'
deadlines, which the run says while it waits. Then the run ends with status 1 and names the tier; latency
and quality are false and name it, too.

Verdicts rest on what was measured ([VERDICTS.md](VERDICTS.md)); [RESULTS.md](RESULTS.md#if-it-ends-early)
has what the manifest says of a run that ended early, [RESULTS.md](RESULTS.md#what-stays-on-the-host) what
stays on the host.
"""
GROUPS: tuple[tuple[str, tuple[str, ...], str, str], ...] = (
    (
        "Ctrl-C (SIGINT), `kill` (SIGTERM), the terminal goes away (SIGHUP)",
        ("SIGINT", "SIGTERM", "SIGHUP"),
        "what was replayed until then, judged and sealed; the whole run, if all was replayed",
        "nothing",
    ),
    (
        "`kill -9` of the run, also by the kernel for want of memory",
        ("SIGKILL",),
        "the tables of each method that had ended, not sealed and mostly not judged",
        "`testbed clean`, and run again",
    ),
    (
        "a tier ends",
        ("tier killed",),
        "what was replayed, judged and sealed; its last words in the sentence and in `logs/`",
        "mend what they say, and run again",
    ),
    (
        "the link process ends, and all links with it",
        ("link process killed",),
        "what was replayed, judged and sealed",
        "run again",
    ),
    (
        "the Docker engine ends",
        ("engine killed",),
        "what was replayed, judged and sealed; all of it, if no container was needed any more",
        "run again, which starts the engine; then `testbed clean`",
    ),
    (
        "the disk becomes full",
        ("disk full",),
        "what was measured until then, judged and sealed in room kept for it; the whole run, if all was",
        "make room, and run again",
    ),
    (
        "a capture ends",
        ("capture killed",),
        "the whole run; bytes are false and name tcpdump",
        "run again",
    ),
    (
        f"something is stopped for {STOPPED_S:g} s: run, links, capture or tier",
        tuple(f"{part} stands still" for part in ("run", "link process", "capture", "tier")),
        "the whole run; latency is false, and says who stood still, if a request had to wait for it",
        "run again",
    ),
)
"""What a user needs to know of faults: their names, what is kept, what to do."""
TERMS = """\
## How it was tried

Each is `testbed run` of `tests/faults/small.yaml`: two tiers that answer from the prompt's hash, under
{methods}, {requests} requests each. One fault happens to it, in one phase. Then the kernel, Docker,
processes, the run directory and `testbed report` are looked at. `tests/faults/matrix.py` has what must
hold:

- *left*: nothing after a run that can still act; after SIGKILL, or where the Docker engine is dead,
  `testbed clean` removes what is left;
- *kept*: every method that was replayed is whole in the tables, and the seal holds;
- *verdicts*: none is true that the fault made wrong, and none of bytes, decisions and quality false that it
  left right. Latency may be false because of the host, too, and is in runs beside other work;
- *said*: one sentence, the promised exit status, and no traceback; `testbed report` has status 0 only of
  runs that finished.

A cell says `holds`, or what does not: `left`, `lost`, `untrue` or `unsaid`.
"""
GRID_HEAD = "## All faults in all phases"
TARGETS = f"""\
*Killed* is SIGKILL. *Stands still* is SIGSTOP for {STOPPED_S:g} s, then SIGCONT. A full disk is the run
directory's own, filled to the last byte. In cells that say *not yet* or *ended*, there is nothing that the
fault could happen to. The phases:
"""


def document(found: Mapping[Cell, Seen], soak: str, *, host: str, date: str) -> str:
    """The page. ``soak`` is its last chapter's text, in Markdown; without one there is no such chapter."""
    commits = list(dict.fromkeys(seen.commit for seen in found.values() if seen.commit))
    when = f"{date}, commit {' to '.join(dict.fromkeys([*commits[:1], *commits[-1:]]))}"
    parts = [
        HEAD.format(tried=len(found), host=host, when=when, summary="\n".join(_summary(found))),
        TERMS.format(methods=" and ".join(METHODS), requests=REQUESTS),
        f"{GRID_HEAD}\n\n{TARGETS}\n" + "\n".join(_phases()),
        "\n".join(_grid(found)),
    ]
    parts += ["\n".join(_chapter(phase, found)) for phase in PHASES]
    if soak:
        parts.append(f"## An hour of it\n\n{soak.strip()}")
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _summary(found: Mapping[Cell, Seen]) -> Iterator[str]:
    """What each kind of fault did, whatever the phase."""
    for what, faults, kept, mend in GROUPS:
        seen = [found[cell] for cell in CELLS if cell.fault.name in faults and cell in found]
        statuses = dict.fromkeys(_status(one) for one in seen)
        left = sorted({thing.split()[0] for one in seen for thing in one.left})
        stays = f"{', '.join(map(_several, left))}, until `testbed clean`" if left else "nothing"
        yield _row(what, " or ".join(statuses) or "-", stays if seen else "-", kept, mend)


def _status(seen: Seen) -> str:
    return f"{seen.status}" if seen.status >= 0 else f"signal {-seen.status}"


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
    yield _status(seen)
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
    words = [f"{count} {_several(kind) if count > 1 else kind}" for kind, count in counted.items()]
    return ", ".join(words) or "nothing"


def _several(kind: str) -> str:
    return f"{kind}{'es' if kind == 'process' else 's'}"


def _shown(sentence: str) -> str:
    """A sentence of a run, without what is this run's alone."""
    sentence = re.sub(r"\btb[a-z0-9]{4}(?=[a-z-])", "tb", sentence.removeprefix("testbed: "))
    sentence = re.sub(r"this run \([a-z0-9]{4}\)", "this run (…)", sentence)
    sentence = re.sub(r"/tmp/[^\s:;,]*", "/tmp/…", sentence)
    return sentence.replace("|", "\\|")[:200]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def holds(found: Mapping[Cell, Seen], cells: Iterable[Cell] = CELLS) -> bool:
    """Whether each of the cells was tried, and holds."""
    return all(cell.lacks_target or (cell in found and not complaints(cell, found[cell])) for cell in cells)
