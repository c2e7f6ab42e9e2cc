"""What became of a recorded trace: what was taken, lost and rounded, and how near its prompts are."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from testbed.scenario.traces.columns import Columns
from testbed.scenario.traces.formats import Format
from testbed.scenario.traces.near import TOLERANCE, Lengths
from testbed.scenario.traces.scaling import Taking
from testbed.scenario.traces.times import iso_date

MUCH = 0.1
"""The share of requests above which their being longer than any row is worth a sentence."""


def told(path: Path, sha256: str, kind: Format, taking: Taking, columns: Columns) -> dict[str, Any]:
    """Where the trace comes from, and what of it is there: for the header."""
    return {
        "source": _source(path, sha256, kind),
        "from": _moment(taking),
        "rows": {**taking.counts, "kept": len(columns)},
        "times": {
            "rounded_to_us": columns.rounded,
            "by_us_at_most": round(columns.most_rounded_us, 4),
            "same_as_the_one_before": int(np.count_nonzero(np.diff(_numbers(columns.at_us)) == 0)),
        },
        "lost": _lost(kind, columns),
    }


def nearness(columns: Columns, lengths: Lengths, longest_bytes: int) -> dict[str, Any]:
    """How near the prompts' lengths are to those of the trace, in bytes of UTF-8.

    Args:
        lengths: that were looked for.
        longest_bytes: of any prompt that there is.
    """
    wanted = _numbers(columns.input_tokens) * lengths.wanted_per_token
    found = _numbers(columns.row_bytes)
    off = found - wanted
    return {
        "bytes_per_token": lengths.bytes_per_token,
        "length_scale": lengths.scale,
        "tokens": spread(_numbers(columns.input_tokens), 5, 50, 95),
        "wanted_bytes": spread(wanted, 5, 50, 95),
        "found_bytes": spread(found, 5, 50, 95),
        "off_by_bytes": spread(off, 5, 50, 95),
        "off_by_percent": spread(100 * off / wanted, 5, 50, 95),
        "within_5_percent": round(float(np.mean(np.abs(off) <= TOLERANCE * wanted)), 4),
        "longest_row_bytes": longest_bytes,
        "longer_than_any_row": int(np.count_nonzero(wanted > longest_bytes)),
        "different_rows": len(set(zip(columns.datasets, columns.rows, strict=True))),
    }


def _lost(kind: Format, columns: Columns) -> dict[str, Any]:
    """What a trace has no place for."""
    lost: dict[str, Any] = {"also": list(kind.lost)} if kind.lost else {}
    if columns.output_tokens:
        answers = _numbers(columns.output_tokens)
        lost["answers_tokens"] = spread(answers, 5, 50, 95)
        lost["answers_of_0_tokens"] = int(np.count_nonzero(answers == 0))
    return lost


def _moment(taking: Taking) -> str:
    """When the trace begins, as its file counts."""
    return iso_date(taking.begins_ns) if taking.dated else f"{taking.begins_ns / 10**9:.6f} s"


def _source(path: Path, sha256: str, kind: Format) -> dict[str, Any]:
    source: dict[str, Any] = {"file": path.name, "sha256": sha256}
    if kind.source:
        source |= {"of": kind.source, "licence": kind.licence}
    # A line of JSON, or a Parquet file, that is cut is none at all.
    if (kind.ending or path.suffix) == ".csv":
        with path.open("rb") as file:
            file.seek(-1, 2)
            if file.read() not in (b"\n", b"\r"):
                source["last_line"] = "has no end"
    return source


def may_be_cut(path: Path, rows: int) -> str:
    """What to know of a CSV file whose last line has no end, and of which that many rows were read.

    It is no mistake: Azure's trace of 2023 is published so.
    """
    return (
        f"{path}: row {rows:,}, the last one, has no line end; if the file was cut off there, its last value "
        "may be short"
    )


def notes(path: Path, near: Mapping[str, Any], requests: int) -> list[str]:
    """How near the prompts of so many requests are, in sentences."""
    wanted, found, off = near["wanted_bytes"], near["found_bytes"], near["off_by_percent"]
    sentences = [
        f"prompts: {found['mean']:,} bytes on average, where the trace has {wanted['mean']:,} at "
        f"{near['bytes_per_token']:g} bytes a token; off by {off['p50']:+} % at the median, from "
        f"{off['p5']:+} % (5th percentile) to {off['p95']:+} % (95th); {near['different_rows']:,} different "
        "rows"
    ]
    longer, longest = near["longer_than_any_row"], near["longest_row_bytes"]
    if longer > MUCH * requests:
        fits = near["length_scale"] * longest / wanted["p95"]
        sentences.append(
            f"{path}: {longer:,} of {requests:,} requests are longer than the longest prompt ({longest:,} "
            f"bytes), which stands for them; take a data set of longer texts, or --length-scale {fits:.1g}"
        )
    return sentences


def _numbers(values: array[int]) -> NDArray[np.int64]:
    return np.frombuffer(values, dtype=np.int64)


def spread(values: NDArray[Any], *percents: int) -> dict[str, float]:
    """Mean and percentiles (linear between ranks), to a tenth."""
    found = np.percentile(values, percents)
    mean = {"mean": round(float(np.mean(values)), 1)}
    return mean | {
        f"p{percent}": round(float(value), 1) for percent, value in zip(percents, found, strict=True)
    }
