"""What was predicted of a scenario's methods beside what a run of it measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from testbed.errors import TestbedError
from testbed.results.columns import Row
from testbed.results.directory import RunDirectory
from testbed.results.ended import incomplete
from testbed.scenario.topology import Topology
from testbed.study.what_if.figures import Figures
from testbed.study.what_if.replay import replay
from testbed.study.what_if.study import Point, Study

_BURDENS = ("burden_vs_cloud_only", "burden_vs_direct_cloud", "burden_paper_vs_cloud_only")


def check_trace(study: Study, directory: RunDirectory) -> None:
    """See to it that the run replayed the study's trace.

    Raises:
        TestbedError: it did not, or its trace cannot be read.
    """
    with directory.understood():
        trace = directory.read_trace()
    ours, theirs = ([(r.id, r.device, r.dataset, r.row) for r in some] for some in (study.trace, trace))
    if ours != theirs:
        raise TestbedError(
            f"{directory.path}: has another trace than the prediction, of {len(theirs)} requests beside "
            f"{len(ours)}; give both the same seed, number of requests, devices and data set"
        )


def beside(
    study: Study, points: Sequence[Point], predicted: Sequence[Figures], directory: RunDirectory
) -> list[tuple[Figures, Figures]]:
    """Figures of each method that both have, the run to its end: as predicted, and as measured.

    A measured figure that the run's verdicts do not vouch for is ``None``, and among those of ``not_valid``.
    ``elsewhere`` counts the requests that the run did not answer where it was predicted.

    Raises:
        TestbedError: the run came to the end of none of the methods, or lacks a file.
    """
    with directory.understood():
        summary, scenario = directory.read_summary(), directory.read_scenario()
        unfinished = incomplete(directory.read_manifest())
        requests, links = (directory.read_table(f"{name}.parquet") for name in ("requests", "links"))
    pairs = []
    for point, figures in zip(points, predicted, strict=True):
        name = point.method.name
        if name in summary["methods"] and name not in unfinished:
            rows = [row for row in requests if row["method"] == name]
            crossed = _by_tier([row for row in links if row["method"] == name], scenario.topology)
            measured = _measured(study, summary, name, crossed)
            scored = {**figures, "score": figures.get(study.scorer.key)}
            pairs.append((scored, {**measured, "elsewhere": _elsewhere(study, point, rows)}))
    if not pairs:
        names = ", ".join(point.method.name for point in points)
        raise TestbedError(f"{directory.path}: came to the end of none of the methods {names}")
    return pairs


def _by_tier(links: Sequence[Row], topology: Topology) -> dict[str, int]:
    """Prompt bytes up and answer bytes down on all links above each tier."""
    below = {link.name: topology.node(link.child).tier for link in topology.links}
    sums: dict[str, int] = {}
    for row in links:
        text = "prompt_bytes" if row["direction"] == "up" else "answer_bytes"
        name = f"{text}_{below[row['link']]}"
        sums[name] = sums.get(name, 0) + row[text]
    return sums


def _measured(
    study: Study, summary: Mapping[str, Any], name: str, crossed: Mapping[str, int]
) -> dict[str, Any]:
    figures, faithful = summary["methods"][name], summary["faithful"]
    measured = {f"served_by_{tier}": figures["served_by"][tier] for tier in study.tiers}
    for tier in list(study.tiers)[:-1]:
        for text in ("prompt", "answer"):
            column = f"{text}_bytes_{tier}"
            measured[column] = crossed.get(column, 0) if faithful["bytes"] else None
    measured["score"] = figures.get(study.scorer.key)
    measured |= {burden: figures.get(burden) for burden in _BURDENS}
    doubted = [*(() if faithful["quality"] else ("score",)), *(() if faithful["bytes"] else _BURDENS)]
    return measured | dict.fromkeys(doubted) | {"not_valid": doubted}


def _elsewhere(study: Study, point: Point, rows: Sequence[Row]) -> int:
    tiers = list(study.tiers)
    served = {row["request_id"]: row["tier"] for row in rows}
    levels = replay(study, point).tolist()
    return sum(
        served.get(request.id) != tiers[level] for request, level in zip(study.trace, levels, strict=True)
    )
