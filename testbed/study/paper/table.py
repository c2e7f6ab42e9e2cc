"""The table of lines: in Markdown, CSV and JSON, and for a terminal."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
from rich.table import Table as Printed

from testbed.errors import TestbedError
from testbed.host.facts import cpu_model, distribution, memory_bytes, usable_cpus, virtualisation
from testbed.host.files import write_whole
from testbed.report.cells import table
from testbed.study.paper.lines import Line
from testbed.study.paper.on_ladder import OnLadder

NAME = "paper"
"""Of the table's files."""


@dataclass(frozen=True)
class Table:
    """All lines, with what they were made of: at least one ladder, and seconds by phase."""

    lines: Sequence[Line]
    ladders: Sequence[OnLadder]
    seconds: Mapping[str, float]

    def check(self) -> None:
        """Raise a :class:`~testbed.errors.TestbedError` if a line has no figures to rely on."""
        lacking = [on.lacking for on in self.ladders if on.lacking]
        if len(lacking) == len(self.ladders):
            raise TestbedError(f"no ladder can be had here: {'; '.join(dict.fromkeys(lacking))}")
        bad = [line for line in self.lines if line.verdict in ("failed", "n/v")]
        if bad:
            first = bad[0]
            raise TestbedError(
                f"{len(bad)} of {len(self.lines)} lines have no figures to rely on, the first "
                f"{first.claim} on {first.ladder}: {first.why}; the same command with --out tries them again"
            )

    @property
    def notes(self) -> list[str]:
        """What else is to be known: of the ladders, the time that all took, the host and the disk."""
        told = [f"{on.ladder.name}: {on.rising}" for on in self.ladders]
        phases = "; ".join(f"{name} {spent / 60:.1f}" for name, spent in self.seconds.items())
        return [
            *told,
            f"minutes: {sum(self.seconds.values()) / 60:.1f} in all: {phases}",
            f"host: {host_words()}",
            f"disk: {_bytes_below(self.ladders[0].options.out) / 1e6:.1f} MB in the directory of results",
        ]

    @property
    def counted(self) -> str:
        """How many lines have which verdict, in words."""
        counts = Counter(line.verdict for line in self.lines)
        return ", ".join(f"{verdict}: {count}" for verdict, count in counts.items())


def host_words() -> str:
    """What minutes depend on, in words: CPUs that may be used, in what they run, memory and system."""
    memory = memory_bytes()["MemTotal"] / 1e9
    system = distribution()["name"]
    return f"{usable_cpus()} × {cpu_model()} ({virtualisation()}), {memory:.1f} GB of memory, {system}"


def _bytes_below(folder: Path) -> int:
    """The bytes of all files in a directory."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def write_lines(folder: Path, lines: Sequence[Line], notes: Sequence[str] = ()) -> None:
    """Write the lines as Markdown, with notes below it, CSV and JSON.

    Raises:
        TestbedError: a file cannot be written.
    """
    rows = [_flat(line) for line in lines]
    csv = pa.BufferOutputStream()
    pa.csv.write_csv(pa.Table.from_pylist(rows), csv)
    told = [line.to_json() for line in lines]
    contents = {
        "md": markdown(lines, notes).encode(),
        "csv": csv.getvalue().to_pybytes(),
        "json": (json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode(),
    }
    try:
        for suffix, content in contents.items():
            write_whole(folder / f"{NAME}.{suffix}", content)
    except OSError as error:
        raise TestbedError(f"{error.filename or folder}: cannot be written ({error.strerror})") from error


def _flat(line: Line) -> dict[str, Any]:
    """A line as one row; of its figures the chief one has columns of its own."""
    told = line.to_json()
    del told["values"]
    chief = next(iter(line.values.values()), None)
    value, ends = chief.estimate if chief else (None, None)
    low, high = ends or (None, None)
    told |= {"value": value, "low": low, "high": high, "values": _values(line)}
    return told


HEADS = ("claim", "ladder", "command", "min", "value [95 %]", "published", "mark", "verdict")


def cells(line: Line) -> list[str]:
    """A line as the cells of the table."""
    verdict = line.verdict + (f": {line.why}" if line.why else "")
    return [
        line.says,
        line.ladder,
        line.command,
        f"{line.minutes:.1f}" if line.minutes >= 0.05 else "< 0.1",
        _values(line) or "-",
        line.published or "-",
        line.mark,
        verdict,
    ]


def _values(line: Line) -> str:
    return "; ".join(f"{name} {value.words}" for name, value in line.values.items())


def markdown(lines: Sequence[Line], notes: Sequence[str] = ()) -> str:
    """The table in Markdown, with notes below it."""
    rows = [[_cell(cell) for cell in cells(line)] for line in lines]
    for row in rows:
        row[2] = f"`{row[2]}`"
        row[7] = _strong(row[7])
    right = ("min",)
    under = ["--:" if head in right else "---" for head in HEADS]
    table = ["| " + " | ".join(row) + " |" for row in ([*HEADS], under, *rows)]
    return "\n".join([*table, *(["", *(f"- {note}" for note in notes)] if notes else [])]) + "\n"


def _strong(verdict: str) -> str:
    word, colon, why = verdict.partition(": ")
    return f"**{word}**{colon}{why}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "&#124;").replace("<", "&lt;")


def printed(made: Table) -> Printed:
    """The table for a terminal."""
    left = ["claim", "ladder", "value [95 %]", "published", "verdict"]
    shown = table(f"The paper's claims: {made.counted}", left, ["min"])
    for line in made.lines:
        _, ladder, _, minutes, value, published, _, verdict = cells(line)
        shown.add_row(line.claim, ladder, value, published, verdict, minutes)
    shown.caption = "mark and commands: paper.md; when each claim counts as reproduced: docs/PAPER.md"
    return shown
