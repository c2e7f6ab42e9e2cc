"""Request traces that others publish: their columns, units and licences, read row by row."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from testbed.errors import TestbedError
from testbed.scenario.reading.cells import shown
from testbed.scenario.reading.mistakes import nearest
from testbed.scenario.reading.table_file import MAX_LINE_BYTES, Record, read_records
from testbed.scenario.traces.times import UNITS, Clock, TimeUnit, plain_unit

MAX_TOKENS = 10_000_000
"""Of a prompt or an answer; no model takes as many."""
_COUNT = re.compile(r"[+-]?\d{1,30}(\.0{1,6})?")


@dataclass(frozen=True)
class Format:
    """A kind of trace file.

    Attributes:
        title: what the traces are, in words.
        ending: which reader a file has; ``""`` for that of its name.
        time, input, output: columns of the arrival and of the tokens of prompt and answer.
        unit: of the times; ``None`` if only the user knows.
        source, licence: for the header of what is made of it.
        lost: what else such a file says, which a trace has no place for.
    """

    title: str
    ending: str
    time: str
    input: str
    output: str | None
    unit: TimeUnit | None
    source: str
    licence: str
    lost: tuple[str, ...] = ()


FORMATS = {
    "azure": Format(
        "Azure LLM inference traces of 2023 and 2024",
        ".csv",
        "TIMESTAMP",
        "ContextTokens",
        "GeneratedTokens",
        "date",
        "Microsoft's AzurePublicDataset, Azure LLM inference traces (Patel et al., Splitwise, ISCA 2024; "
        "Stojkovic et al., DynamoLLM, HPCA 2025)",
        "CC-BY-4.0",
    ),
    "burstgpt": Format(
        "BurstGPT",
        ".csv",
        "Timestamp",
        "Request tokens",
        "Response tokens",
        "s",
        "BurstGPT (Wang et al., arXiv:2401.17644)",
        "CC-BY-4.0",
        ("model", "kind of log"),
    ),
    "mooncake": Format(
        "Mooncake",
        ".jsonl",
        "timestamp",
        "input_length",
        "output_length",
        "ms",
        "Mooncake (Qin et al., FAST 2025)",
        "Apache-2.0",
        ("shared prefixes (hash_ids)",),
    ),
    "csv": Format("any file with named columns", "", "", "", None, None, "", ""),
}
"""By the name that ``testbed trace import`` has for them."""


class Arrival(NamedTuple):
    """A row of a trace, its ``device`` as the file has it.

    ``at_ns`` counts from 1970 if times are dates, else from where the file does.
    """

    at_ns: int
    dated: bool
    input_tokens: int
    output_tokens: int | None
    device: str | None


def format_named(name: str) -> Format:
    """The format of that name.

    Raises:
        TestbedError: there is none.
    """
    if name not in FORMATS:
        raise TestbedError(f"no format {name!r} of traces; {nearest(name, FORMATS)}")
    return FORMATS[name]


def unit_named(name: str | None) -> TimeUnit | None:
    """The unit of that name.

    Raises:
        TestbedError: there is none.
    """
    for unit in UNITS:
        if unit == name:
            return unit
    if name is not None:
        raise TestbedError(f"--unit: {name!r} is no unit of times; {nearest(name, UNITS)}")
    return None


def with_columns(
    kind: Format, time: str | None, input_tokens: str | None, output_tokens: str | None, unit: TimeUnit | None
) -> Format:
    """The format with what a user says of his file.

    Raises:
        TestbedError: it says that itself, what is needed is missing, or a column is named twice.
    """
    columns = {"--time-column": time, "--input-column": input_tokens, "--output-column": output_tokens}
    if kind.time:
        for option, value in {**columns, "--unit": unit}.items():
            if value is not None:
                raise TestbedError(f"{option}: {kind.title} say that themselves; leave it out, or import csv")
        return kind
    if time is None or input_tokens is None:
        option, what = ("--time-column", "times") if time is None else ("--input-column", "prompts' tokens")
        raise TestbedError(f"{option}: is missing; name the column of {what}")
    for (first, one), (option, other) in combinations(columns.items(), 2):
        if other is not None and one == other:
            raise TestbedError(f"{option}: {shown(other)} is the {first} already; name another column")
    return replace(kind, time=time, input=input_tokens, output=output_tokens, unit=unit)


def read_arrivals(path: Path, kind: Format, device_column: str | None = None) -> Iterator[Arrival]:
    """Yield the rows of a trace file, in order of time and in bounded memory.

    Raises:
        TestbedError: with file and row, what is wrong there and how to mend it.
    """
    columns = [kind.time, kind.input, *([kind.output] if kind.output else [])]
    columns += [device_column] if device_column else []
    clock = None if kind.unit is None else Clock(kind.unit)
    for place, values in _records(path, columns, kind.ending or path.suffix):
        try:
            time = _there(values[0])
            clock = clock or Clock(plain_unit(time))
            at_ns = clock.read(time)
        except ValueError as error:
            raise TestbedError(f"{place}: {shown(kind.time)}: {error}") from None
        yield Arrival(
            at_ns,
            clock.unit == "date",
            _tokens(place, kind.input, values[1]),
            _tokens(place, kind.output, values[2]) if kind.output else None,
            values[-1] if device_column else None,
        )


def _records(path: Path, columns: Sequence[str], ending: str) -> Iterator[Record]:
    """The rows; a file that is none of the kind is told what it may be instead."""
    records = read_records(path, columns, ending)
    try:
        first = next(records, None)
    except TestbedError as error:
        raise TestbedError(_explained(path, str(error))) from None
    if first is None:
        raise TestbedError(f"{path}: holds no row; take the whole file")
    yield first
    yield from records


def _explained(path: Path, sentence: str) -> str:
    try:
        with path.open("rb") as file:
            line = file.readline(MAX_LINE_BYTES).decode("utf-8", "replace").strip()
    except OSError:
        return sentence
    if line.startswith("version https://git-lfs"):
        return f"{path}: is a pointer of Git LFS, not the trace; fetch the file itself (git lfs pull)"
    try:
        columns = list(json.loads(line)) if line.startswith("{") else next(csv.reader([line]), [])
    except (ValueError, RecursionError, csv.Error):
        return sentence
    name = looks_like(columns)
    return (
        f"{sentence}; it looks like {FORMATS[name].title}: testbed trace import {name}" if name else sentence
    )


def looks_like(columns: Sequence[str]) -> str | None:
    """The name of the format that a file with these columns has."""
    for name, kind in FORMATS.items():
        if kind.time and {kind.time, kind.input, kind.output} <= set(columns):
            return name
    return None


def _there(value: str | None) -> str:
    if value is None or not value.strip():
        raise ValueError("has no value; the file may be cut off there")
    return value.strip()


def _tokens(place: str, column: str, value: str | None) -> int:
    try:
        text = _there(value)
        if not _COUNT.fullmatch(text):
            raise ValueError(f"{shown(text)} is no number of tokens; write a whole number")
        tokens = int(text.partition(".")[0])
        if tokens < 0:
            raise ValueError(f"{text} is negative; write a number of tokens")
        if tokens > MAX_TOKENS:
            raise ValueError(f"{text} tokens are more than {MAX_TOKENS:,}, which no model takes; mend it")
    except ValueError as error:
        raise TestbedError(f"{place}: {shown(column)}: {error}") from None
    return tokens
