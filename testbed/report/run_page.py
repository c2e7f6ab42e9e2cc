"""A run's page: one HTML file that holds all that it needs and opens without a network."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from testbed.report.figures.run_data import RunData
from testbed.report.figures.run_figures import run_subject
from testbed.report.page import MEANINGS, as_texts, for_script, render, write_page
from testbed.report.sources import sources_tables
from testbed.report.tables import cost_tables
from testbed.report.theory import theory_tables, with_theory
from testbed.results.directory import RunDirectory
from testbed.results.fidelity import CLAIMS
from testbed.results.run import Run
from testbed.results.times import HOP_COLUMNS
from testbed.scenario.topology import Topology

SLOWEST, DRAWN = 100, 200
"""Requests whose way the page holds: the slowest under any method, and some drawn by seed."""


def write_run_page(run: Run) -> Path:
    """Write ``report.html`` into the run's directory, and return its path.

    Raises:
        TestbedError: the directory lacks a file, or cannot be written to.
    """
    return write_page(run.path, render_run_page(run))


def render_run_page(run: Run) -> str:
    """The page of a finished run."""
    data, manifest = RunData(run), run.manifest
    theory = theory_tables(with_theory(RunDirectory.open(run.path), run.summary))
    return render(
        "run.html.jinja",
        run_subject(run),
        early=run.ended_early,
        started_at=manifest["started_at"],
        commit=(manifest.get("host") or {}).get("commit"),
        claims=[(claim, run.summary["faithful"][claim], _why(run, claim)) for claim in CLAIMS],
        methods=_method_rows(data),
        score=data.scorer.heading,
        tiers=data.tiers,
        costs=[as_texts(made) for made in cost_tables(run.summary, data.tiers)],
        theory=[as_texts(made) for made in theory],
        ways_told=_ways_told(data),
        sources=[as_texts(made) for made in sources_tables(manifest)],
        notes=[*manifest.get("notes", ()), *run.fidelity.get("notes", ())],
        scenario=yaml.safe_dump(manifest["scenario"], sort_keys=False, allow_unicode=True),
        ways=for_script(_ways(data)),
    )


def _why(run: Run, claim: str) -> list[str]:
    reasons: list[str] = run.fidelity["reasons"][claim]
    return reasons or [MEANINGS[claim]]


def _method_rows(data: RunData) -> list[dict[str, Any]]:
    rows = []
    for method in data.methods:
        figures = data.figures(method)
        rows.append(
            {
                "method": method,
                "score": figures[data.scorer.key],
                "ends": figures[data.scorer.interval_key],
                "decimals": data.scorer.decimals,
                "served_by": [figures["served_by"][tier] for tier in data.tiers],
                "errors": sum(figures["errors"].values()),
                "prompt_kb": figures["prompt_bytes"] / 1000,
                "frame_kb": figures["frame_bytes"] / 1000,
                "burden": figures["burden_vs_cloud_only"],
                "direct": figures["burden_vs_direct_cloud"],
                "p50": figures["latency_ms"]["p50"],
                "p95": figures["latency_ms"]["p95"],
            }
        )
    return rows


def shown_requests(latencies_ms: Mapping[str, float], seed: int) -> list[str]:
    """The requests whose ways the page holds: the slowest first, then those drawn by seed."""
    slowest = sorted(latencies_ms, key=lambda name: -latencies_ms[name])
    names, rest = slowest[:SLOWEST], sorted(slowest[SLOWEST:])
    return names + sorted(random.Random(seed).sample(rest, min(DRAWN, len(rest))))


def _ways_told(data: RunData) -> str:
    requests = data.run.requests["request_id"].nunique()
    if requests <= SLOWEST + DRAWN:
        return f"All {requests} requests, the slowest first."
    return (
        f"{SLOWEST + DRAWN} of {requests:,} requests: the slowest {SLOWEST} under any method, and {DRAWN} "
        f"drawn by the run's seed."
    )


def _ways(data: RunData) -> dict[str, Any]:
    """By request and method, what each node on the way recorded; times in ms, to a hundredth."""
    slowest_ms = data.run.requests.groupby("request_id")["latency_ms"].max()
    latencies_ms = {str(name): float(latency_ms) for name, latency_ms in slowest_ms.items()}
    names = shown_requests(latencies_ms, data.run.scenario.seed)
    wanted = data.run.requests[data.run.requests["request_id"].isin(names)]
    ways: dict[str, dict[str, Any]] = {name: {} for name in names}
    for row in wanted.to_dict("records"):
        ways[row["request_id"]][row["method"]] = {
            "latency": round(row["latency_ms"], 2),
            "outcome": row["outcome"],
            "answer": _short(row["answer"]),
            "reference": _short(row["reference"]),
            "nodes": list(_nodes(row, data.topology)),
        }
    return {"order": names, "methods": data.methods, "ways": ways}


def _nodes(row: Mapping[Any, Any], topology: Topology) -> Iterator[list[Any]]:
    """A line for each node on the way: its name, what it decided, its times, and the hop above it.

    A node that was skipped recorded nothing: its line has the hop above it alone, and no decision.
    """
    hops = iter(range(len(row["hops"])))
    skipped = row["skipped"] or [None] * len(row["path"])
    for at, node in enumerate(row["path"]):
        sure = [_rounded(row[column][at], 4) for column in ("confidences", "thresholds")]
        times = [_rounded(row[column][at], 2) for column in ("queue_ms", "inference_ms", "own_ms")]
        decided = [_short(row["node_answers"][at]), *sure, row["kept"][at]]
        yield [node, *decided, *times, *_hop(row, next(hops, None))]
        if skipped[at]:
            yield [topology.way_up(node)[1], *[None] * 7, *_hop(row, next(hops, None))]


def _hop(row: Mapping[Any, Any], hop: int | None) -> list[Any]:
    """Times up and down a hop, and its prompt and answer bytes; nulls where the request did not try it."""
    if hop is None:
        return [None] * 4
    times = [_rounded(row[column][hop], 2) for column in HOP_COLUMNS]
    return [*times, *(int(row[column][hop]) for column in ("hop_prompt_bytes", "hop_answer_bytes"))]


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _short(text: Any, most: int = 80) -> str | None:
    if not isinstance(text, str):
        return None
    return text if len(text) <= most else text[: most - 1] + "…"
