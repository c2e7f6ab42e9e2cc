"""The table of a sweep: a row for each point and method, and for each point that has no figures."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from testbed.errors import TestbedError
from testbed.host.files import write_whole
from testbed.results.directory import RunDirectory
from testbed.results.ended import ended_early
from testbed.results.fidelity import CLAIMS
from testbed.results.scorers import SCORERS
from testbed.results.seals import SUMS
from testbed.study.sweep.directory import SweepDirectory
from testbed.study.sweep.points import MAX_POINTS, Point

FIGURES = (
    "requests", "answered", "degraded", "prompt_bytes", "answer_bytes", "frame_bytes", "unaccounted_bytes",
    "burden_vs_cloud_only", "burden_vs_direct_cloud", "burden_paper_bytes", "burden_paper_vs_cloud_only",
)  # fmt: skip
"""Of ``summary.json``, under the same names."""
TABLE = "points"
"""Of the files of the table: Parquet and CSV."""
PERCENTILES = ("p50", "p95", "p99")
SHARES = {"share": "", "share_expected": "_expected", "share_asymptotic": "_asymptotic"}
"""Of ``theory.hops`` in ``summary.json``: what follows ``share_up_TIER`` in the column's name."""
_READ = ("manifest.json", "summary.json", "fidelity.json")
"""Files of a point that rows are made from. They must be as the run left them."""


def sweep_table(sweep: SweepDirectory) -> pd.DataFrame:
    """The rows of all points so far: what varies, the verdicts, and each method's figures."""
    return pd.DataFrame([row for point in sweep.points for row in _rows(sweep, point)])


def write_table(directory: SweepDirectory) -> None:
    """Write the table over all points so far, as Parquet and CSV."""
    table = sweep_table(directory)
    write_whole(directory.path / f"{TABLE}.parquet", table.to_parquet(index=False))
    write_whole(directory.path / f"{TABLE}.csv", table.to_csv(index=False).encode())


def _rows(sweep: SweepDirectory, point: Point) -> Iterator[dict[str, Any]]:
    about = {
        "point": point.number, "repeat": point.repeat, "seed": point.seed, **point.settings,
        "status": "waiting", "error": None, "run": str(sweep.run_path(point).relative_to(sweep.path)),
    }  # fmt: skip
    if sweep.finished(point):
        try:
            figures = _figures_once(run := sweep.run_path(point), _versions(run))
            yield from [{**about, "status": "finished", **of_method} for of_method in figures]
        except TestbedError as error:
            yield {**about, "status": "damaged", "error": str(error)}
    elif (why := sweep.failure(point)) is not None:
        yield {**about, "status": "failed", "error": why}
    else:
        yield {**about, "error": broken_off(sweep.run_path(point))}


def broken_off(run: Path) -> str | None:
    """What ended a run that waits to be run again, if it was begun."""
    with suppress(TestbedError):
        return ended_early(RunDirectory.open(run))
    return None


def _versions(run: Path) -> tuple[tuple[int, int, int], ...]:
    """What changes when one of the files that rows are made from does."""
    found = [path.stat() for name in (SUMS, *_READ) if (path := run / name).is_file()]
    return tuple((status.st_ino, status.st_size, status.st_mtime_ns) for status in found)


@functools.lru_cache(MAX_POINTS)
def _figures_once(run: Path, _versions: object) -> tuple[dict[str, Any], ...]:
    """Of each version once: the table is written after each point, and would take ever longer."""
    return tuple(_figures(run))


def _figures(run: Path) -> Iterator[dict[str, Any]]:
    directory = RunDirectory.open(run)
    directory.require_unchanged(*_READ)
    with directory.understood():
        summary, manifest = directory.read_summary(), directory.read_manifest()
        faithful: Mapping[str, bool] = summary["faithful"]
        reasons = {} if all(faithful.values()) else directory.read_fidelity()["reasons"]
        scorer = SCORERS[manifest["scenario"]["task"]["kind"]]
    about = {
        "started_at": manifest["started_at"],
        "commit": (manifest.get("host") or {}).get("commit"),
        **{f"{claim}_true": faithful[claim] for claim in CLAIMS},
        **{f"{claim}_why": "; ".join(reasons.get(claim, ())) or None for claim in CLAIMS},
    }
    for method, figures in summary["methods"].items():
        yield {
            "method": method,
            **about,
            **_with_ends(scorer.key, figures[scorer.key], figures[scorer.interval_key]),
            **{name: figures.get(name) for name in FIGURES},
            **_latencies(figures),
            **_costs(figures),
            **{f"served_by_{tier}": count for tier, count in figures["served_by"].items()},
            **{
                f"share_up_{tier}{suffix}": hop[key]
                for tier, hop in (figures.get("theory") or {"hops": {}})["hops"].items()
                for key, suffix in SHARES.items()
            },
        }


def _latencies(figures: Mapping[str, Any]) -> dict[str, float | None]:
    ends = figures.get("latency_ms_ci") or {}
    return {
        name: value
        for percent in PERCENTILES
        for name, value in _with_ends(
            f"latency_{percent}_ms", figures["latency_ms"][percent], ends.get(percent)
        ).items()
    }


def _costs(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of costs, if the scenario has prices."""
    if "cost_unit" not in figures:
        return {}
    names = ("cost", "cost_unit", "cost_reason")
    each = _with_ends("cost_per_request", figures["cost_per_request"], figures["cost_per_request_ci"])
    return {**{name: figures[name] for name in names}, **each}


def _with_ends(
    name: str, value: float | None, ends: Sequence[float | None] | None
) -> dict[str, float | None]:
    """A figure and the ends of its interval, as three columns."""
    low, high = ends or (None, None)
    return {name: value, f"{name}_low": low, f"{name}_high": high}
