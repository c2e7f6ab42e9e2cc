"""Traces from what others recorded: their arrivals and lengths, with prompts of about those lengths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from testbed.console import Count
from testbed.errors import TestbedError
from testbed.host.fingerprints import sha256_of
from testbed.host.places import unfit_file
from testbed.scenario.requests import numbered
from testbed.scenario.traces.columns import Columns
from testbed.scenario.traces.formats import Format, read_arrivals
from testbed.scenario.traces.ground import Ground
from testbed.scenario.traces.near import Lengths, NearRows
from testbed.scenario.traces.scaling import Scaling, Taking
from testbed.scenario.traces.telling import may_be_cut, nearness, notes, told
from testbed.scenario.workload.trace_file import MAX_LINES, Request

TOLD_EVERY = 10_000


@dataclass(frozen=True)
class Wanted:
    """What a user wants of a recorded trace.

    Attributes:
        name: of the format.
        most: only the first so many requests of what is left.
        device_column: each of its values is at one device, and they get devices in turn; rows without a value
            get one by lot.
    """

    path: Path
    name: str
    kind: Format
    ground: Ground
    scaling: Scaling = field(default_factory=Scaling)
    lengths: Lengths = field(default_factory=Lengths)
    most: int | None = None
    device_column: str | None = None

    def described(self) -> dict[str, Any]:
        """For the header."""
        part = self.scaling.part
        return {
            "between": None if part is None else part.text,
            "requests": self.most,
            "rate_scale": self.scaling.rate_scale,
            "time_scale": self.scaling.time_scale,
            "device_column": self.device_column,
        }


@dataclass(frozen=True)
class Imported:
    """A trace that was made of a recorded one.

    Attributes:
        header: what was taken, lost and rounded.
        requests: in order of time.
        notes: what a user should know at once, in sentences.
    """

    header: dict[str, Any]
    requests: Iterator[Request]
    notes: list[str]


def import_trace(wanted: Wanted, progress: Count = lambda _done, _total: None) -> Imported:
    """Make a trace of a recorded one.

    Raises:
        TestbedError: the file is not as it must be, or nothing or too much is left of it.
    """
    path, ground = wanted.path, wanted.ground
    rows, sha256 = estimated_rows(path), sha256_of(path)
    taking, columns = Taking(wanted.scaling), Columns()
    _read(wanted, taking, columns, rows, progress)
    longest_bytes = _choose_rows(columns, ground, wanted.lengths.wanted_per_token)
    near = nearness(columns, wanted.lengths, longest_bytes)
    header = {
        "made_by": f"testbed trace import {wanted.name}",
        **told(path, sha256, wanted.kind, taking, columns),
        "prompts": near,
        "asked": wanted.described(),
        **ground.described(),
    }
    if wanted.device_column:
        header["device_values"] = len(columns.named)
    sentences = notes(path, near, len(columns))
    if taking.to_the_end and "last_line" in header["source"]:
        sentences.append(may_be_cut(path, taking.counts["read"]))
    return Imported(header, _requests(columns, ground), sentences)


def _read(wanted: Wanted, taking: Taking, columns: Columns, rows: int, progress: Count) -> None:
    """Read what is wanted into columns."""
    path, devices = wanted.path, wanted.ground.devices
    places = {device: place for place, device in enumerate(devices)}
    lots = wanted.ground.draw_devices()
    most = MAX_LINES + 1 if wanted.most is None else min(wanted.most, MAX_LINES + 1)
    for taken in islice(taking.take(read_arrivals(path, wanted.kind, wanted.device_column)), most):
        device = places[next(lots)]
        if value := (taken.device or "").strip():
            device = columns.named.setdefault(value, len(columns.named) % len(devices))
        columns.add(taken, device)
        if len(columns) % TOLD_EVERY == 0:
            progress(taking.counts["read"], max(rows, taking.counts["read"]))
    if len(columns) > MAX_LINES:
        raise TestbedError(
            f"{path}: more than {MAX_LINES:,} requests are left, and a trace has so many at most; "
            "take fewer by --requests, --between or --rate-scale"
        )
    if len(columns) == 0:
        raise TestbedError(f"{path}: {taking.nothing_left()}")


def estimated_rows(path: Path) -> int:
    """About how many lines a file has, from its first ones; for progress.

    Raises:
        TestbedError: it cannot be read, or not twice, as a pipe.
    """
    try:
        if unfit := unfit_file(path):
            raise TestbedError(f"{path}: {unfit}; name a file, for it is read twice")
        with path.open("rb") as file:
            start = file.read(1 << 16)
        return start.count(b"\n") * path.stat().st_size // max(1, len(start))
    except OSError as error:
        raise TestbedError(f"{path}: cannot be read ({error.strerror}); name a file that can") from None


def _choose_rows(columns: Columns, ground: Ground, wanted_per_token: float) -> int:
    """Draw a row for each request; return the length of the longest prompt that there is."""
    near = [NearRows(dataset, ground.seed) for dataset in ground.datasets]
    places = {rows.name: place for place, rows in enumerate(near)}
    chosen = ground.draw_datasets(len(columns))
    for tokens, dataset in zip(columns.input_tokens, chosen, strict=True):
        place = places[dataset.name]
        row, row_bytes = near[place].draw(tokens * wanted_per_token)
        columns.datasets.append(place)
        columns.rows.append(row)
        columns.row_bytes.append(row_bytes)
    return max(rows.longest_bytes for rows in near)


def _requests(columns: Columns, ground: Ground) -> Iterator[Request]:
    names = [dataset.name for dataset in ground.datasets]
    return numbered(
        (us / 10**6 for us in columns.at_us),
        (ground.devices[device] for device in columns.devices),
        zip((names[place] for place in columns.datasets), columns.rows, strict=True),
    )
