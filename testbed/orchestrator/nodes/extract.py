"""Extracts what recorded tiers serve of answer matrices: a file a tier, with the trace's rows alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from testbed.errors import TestbedError
from testbed.host.cache import cache_dir, scratch_in
from testbed.scenario.recorded_rows import TierRows, tier_rows
from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.models import RecordedEntry
from testbed.scenario.workload.datasets import Example
from tiers.models.rows import Row, write_rows

EXTRACTED = ".recorded-"
"""Begins the names of directories for such files, in the cache."""


@contextmanager
def extracted(scenario: Scenario, asked: Sequence[Example]) -> Iterator[Mapping[str, Path]]:
    """Give, by tier, the file that a recorded model opens; they are there as long as the block.

    The caller holds the lock of a run.

    Args:
        asked: all prompts of the run, those of its calibration too.

    Raises:
        TestbedError: a matrix does not fit the scenario.
    """
    of_tiers = {tier.name: rows for tier in scenario.tiers if (rows := tier_rows(scenario, tier)) is not None}
    if not of_tiers:
        yield {}
        return
    cache_dir().mkdir(parents=True, exist_ok=True)
    with scratch_in(cache_dir(), EXTRACTED) as scratch:
        files = {}
        for tier, rows in of_tiers.items():
            files[tier] = scratch / f"{tier}.sqlite"
            model = scenario.tier(tier).model
            given = isinstance(model, RecordedEntry) and model.service_ms is not None
            extract(rows, asked, files[tier], own_times=not given)
        yield files


def extract(rows: TierRows, asked: Sequence[Example], file: Path, *, own_times: bool) -> None:
    """Write the rows of a tier's model that these prompts ask for into a new file.

    Args:
        own_times: with the matrix's service times, where the scenario has none.

    Raises:
        TestbedError: it cannot be written.
    """
    places = rows.places(asked)
    times_ms = rows.service_ms(places.values()) if own_times else [None] * len(places)
    outputs = list(rows.answers.outputs())
    keyed: list[tuple[bytes, Row]] = [
        (key, (outputs[at], time_ms)) for (key, at), time_ms in zip(places.items(), times_ms, strict=True)
    ]
    about = {
        "file": Path(rows.path).name,
        "sha256": rows.matrix.header.sha256,
        "model": rows.name,
        "tokens": _tokens(rows),
        "confidence": rows.record.confidence,
        "record": rows.record.model_dump(mode="json"),
    }
    try:
        write_rows(file, keyed, about)
    except (OSError, sqlite3.Error) as error:
        raise TestbedError(
            f"{file} cannot be written ({error}); make room, or point TESTBED_CACHE at a larger disk"
        ) from error


def _tokens(rows: TierRows) -> str:
    """What its figures of tokens count, as :class:`tiers.models.base.Model` has it."""
    if rows.answers.completion_tokens[0] is None:
        return "words"
    return "engine" if rows.record.kind == "openai" else "tokenizer"
