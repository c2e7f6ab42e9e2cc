"""A sweep's table as the frames that its figures draw: a row for each mark."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from testbed.errors import TestbedError
from testbed.results.fidelity import CLAIMS, Claim
from testbed.results.frontier import Frontiers
from testbed.results.scorers import HEADINGS
from testbed.results.statistics import mean_of_seeds, share_interval
from testbed.scenario.reading.units import parse_memory_bytes, parse_rate_bps, parse_share, parse_time_ms

LEAST_REPEATS = 3
"""With fewer runs of a combination each of them is a mark; from here on their mean is one."""
_UNITS: tuple[tuple[str, Callable[[str], float]], ...] = (
    ("", float),
    ("%", lambda word: parse_share(word) * 100),
    ("ms", parse_time_ms),
    ("Mbit/s", lambda word: parse_rate_bps(word) / 1e6),
    ("MiB", lambda word: parse_memory_bytes(word) / 2**20),
)
"""Units of a key's values, and what reads a value that has one of them."""


@dataclass(frozen=True)
class Panel:
    """What a plot has of each run and method: a column, and perhaps one with what theory expects of it.

    The interval is in the columns of the same name with ``_low`` and ``_high``, if there are such. ``tier``
    is empty where the plot is not about one.
    """

    tier: str
    column: str
    expected: str | None = None


@dataclass(frozen=True)
class Metric:
    """Something measured of each method, in one plot or in one for each tier.

    ``name`` is of files, ``column`` of the values in them.
    """

    name: str
    column: str
    title: str
    axis: str
    claims: tuple[Claim, ...]
    panels: Sequence[Panel]


@dataclass(frozen=True)
class SweepData:
    """A sweep, with what its page and several figures need of it.

    Attributes:
        path: its directory.
        name: its scenario's.
        rows: its table, as ``points.parquet`` has it.
        frontiers: quality against burden by what its methods were set to, and why there is less of it.
    """

    path: Path
    name: str
    rows: pd.DataFrame
    frontiers: Frontiers = field(default_factory=lambda: Frontiers((), ()))

    @cached_property
    def varied(self) -> list[str]:
        """The keys whose values were given."""
        columns = list(self.rows.columns)
        return columns[columns.index("seed") + 1 : columns.index("status")]

    @cached_property
    def finished(self) -> pd.DataFrame:
        """The rows that have figures, with shares of the requests and their intervals beside the counts."""
        rows = self.rows[self.rows["status"] == "finished"].copy()
        for tier in self.tiers:
            rows[f"served_share_{tier}"] = rows[f"served_by_{tier}"] / rows["requests"]
        if self.over_repeats:  # whose spread is what counts
            return rows
        shares = [f"{kind}_{tier}" for kind in ("served_share", "share_up") for tier in self.tiers]
        for name in filter(rows.columns.__contains__, shares):
            ends = [_ends(*of) for of in zip(rows[name], rows["requests"], strict=True)]
            rows[f"{name}_low"], rows[f"{name}_high"] = zip(*ends, strict=True) if ends else ([], [])
        return rows

    @cached_property
    def methods(self) -> list[str]:
        """In the scenario's order, which the first run of each combination has."""
        if "method" not in self.rows:
            return []
        rows = self.rows[self.rows["status"] == "finished"].sort_values("repeat", kind="stable")
        return [str(name) for name in rows["method"].unique()]

    @cached_property
    def score(self) -> str | None:
        """The column of the score, if answers can be judged."""
        return next((name for name in HEADINGS if name in self.rows), None)

    @cached_property
    def tiers(self) -> list[str]:
        """Lowest first."""
        columns = map(str, self.rows.columns)
        return [name.removeprefix("served_by_") for name in columns if name.startswith("served_by_")]

    @cached_property
    def over_repeats(self) -> bool:
        """Whether a mark is the mean of the runs of a combination."""
        return int(self.rows["repeat"].max()) + 1 >= LEAST_REPEATS

    def values(self, key: str) -> list[str]:
        """The values of a key, as they were written, in their order."""
        return [str(value) for value in self.rows[key].unique()]

    def metrics(self) -> Iterator[Metric]:
        """What is drawn over each key."""
        if self.score:
            heading = HEADINGS[self.score]
            title = heading[0].upper() + heading[1:]
            yield Metric("quality", self.score, title, heading, ("quality",), [Panel("", self.score)])
        axis, column = "prompt bytes, of cloud-only's", "burden_vs_cloud_only"
        yield Metric("burden", column, "Burden", axis, ("bytes",), [Panel("", column)])
        for percent in ("p50", "p95"):
            name, title, column = f"latency-{percent}", f"Latency, {percent}", f"latency_{percent}_ms"
            yield Metric(name, column, title, f"{percent}, ms", ("latency",), [Panel("", column)])
        served = [Panel(tier, f"served_share_{tier}") for tier in self.tiers]
        yield Metric("served-by", "share", "Who answered", "share of requests", (), served)
        up = [tier for tier in self.tiers if f"share_up_{tier}" in self.rows]
        theory = [Panel(tier, f"share_up_{tier}", self._expected(tier)) for tier in up]
        title = "Passed on, beside theory"
        yield Metric("theory", "share", title, "share passed on", ("decisions",), theory)

    def _expected(self, tier: str) -> str:
        """The column with what is expected of so many requests, or, if no method has that, of very many."""
        column = f"share_up_{tier}_expected"
        return column if self.rows[column].notna().any() else f"share_up_{tier}_asymptotic"


@cache
def _ends(share: float, requests: float) -> tuple[float | None, float | None]:
    if math.isnan(share) or not requests:
        return None, None
    return share_interval(round(share * requests), int(requests))


def holds(row: Mapping[Any, Any], claim: Claim) -> bool:
    """Whether a claim holds in the run of a row; one that was not judged yet does not."""
    return row[f"{claim}_true"] is True


def measured(words: Sequence[str]) -> tuple[list[float], str] | None:
    """The values of a key as numbers of one unit, and the unit; ``None`` for names and mixtures."""
    for unit, parse in _UNITS:
        try:
            numbers = [float(parse(word)) for word in words]
        except (TestbedError, ValueError):
            continue
        return (numbers, unit) if all(map(math.isfinite, numbers)) else None
    return None


def marks(data: SweepData, metric: Metric) -> pd.DataFrame:
    """A row for each mark of a metric: the keys' values, method, tier, value, interval and what is expected.

    From three repeats on, a mark is the mean of the runs of a combination in which the metric's claims hold,
    with Student's interval over them; a run in which they do not hold is a mark of its own. With fewer
    repeats each run is one, with its own interval.
    """
    found = []
    for panel in metric.panels:
        runs: dict[tuple[Any, ...], list[dict[Any, Any]]] = defaultdict(list)
        for row in data.finished.to_dict("records"):
            if pd.isna(row[panel.column]) or (panel.expected and pd.isna(row[panel.expected])):
                continue
            valid = all(holds(row, claim) for claim in metric.claims)
            apart = () if data.over_repeats and valid else (row["point"],)
            alike = (row["method"], *(row[key] for key in data.varied), *apart)
            runs[alike].append({**row, "valid": valid})
        found += [_mark(of, data, panel) for of in runs.values()]
    return pd.DataFrame(found)


def _mark(runs: Sequence[Mapping[Any, Any]], data: SweepData, panel: Panel) -> dict[str, Any]:
    first = runs[0]
    value, low, high = (first.get(f"{panel.column}{end}") for end in ("", "_low", "_high"))
    if data.over_repeats:
        mean = mean_of_seeds([row[panel.column] for row in runs])
        value, (low, high) = mean.value, mean.interval or (None, None)
    return {
        **{key: first[key] for key in data.varied},
        "method": first["method"],
        "tier": panel.tier,
        "value": value,
        "low": low,
        "high": high,
        "expected": fmean(row[panel.expected] for row in runs) if panel.expected else None,
        "runs": len(runs),
        "points": ", ".join(str(row["point"]) for row in runs),
        "valid": first["valid"],
    }


def doubted_points(data: SweepData, claims: Sequence[Claim] = CLAIMS) -> list[int]:
    """The numbers of the finished points in which one of the claims does not hold."""
    firsts = data.finished.drop_duplicates("point").to_dict("records")
    return [row["point"] for row in firsts if not all(holds(row, claim) for claim in claims)]
