"""Runs a sweep's points one after the other, each of them once, whatever interrupts it."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.orchestrator.disk import require_disk
from testbed.orchestrator.estimate import estimated_seconds
from testbed.orchestrator.held import HeldNetwork
from testbed.orchestrator.run import run_on
from testbed.results.directory import RunDirectory
from testbed.scenario.reading.units import duration
from testbed.scenario.requests import build_trace
from testbed.scenario.scenario import Scenario
from testbed.scenario.sharing import network_key
from testbed.study.sweep.cluster import Cluster, connected
from testbed.study.sweep.directory import SweepDirectory
from testbed.study.sweep.points import Point, Wanted, points_of
from testbed.study.sweep.spread import run_on_cluster
from testbed.study.sweep.table import write_table

Waiting = Sequence[tuple[Point, Scenario]]
"""Points that are to be run, each with its scenario."""


def sweep(wanted: Wanted, out: Path | None, reporter: Reporter, on: str | None = None) -> SweepDirectory:
    """Run all points that were not run yet, and write the table after each.

    A point that fails is a row with its sentence, and the others go on. The same call with the same ``out``
    goes on after an interruption, and tries again what failed.

    Args:
        on: the Ray cluster whose machines run the points: ``ray``, or ``ray://HOST:PORT``; by default this
            host does.

    Raises:
        TestbedError: a scenario that cannot be, a directory of something else, no such cluster, or another
            run is going on here.
    """
    points = points_of(wanted)
    with nullcontext() if on is None else connected(on) as cluster:
        return _sweep(wanted, points, out, reporter, cluster)


def _sweep(
    wanted: Wanted,
    points: Sequence[tuple[Point, Scenario]],
    out: Path | None,
    reporter: Reporter,
    cluster: Cluster | None,
) -> SweepDirectory:
    directory = SweepDirectory.open_or_create(out, wanted, [point for point, _ in points], points[0][1].name)
    points = wanted.part(points)
    waiting = [(point, scenario) for point, scenario in points if not directory.finished(point)]
    groups = by_network(waiting) if cluster is None else [[each] for each in waiting]
    expected_s = expected_each_s(groups)
    reporter.say(_said(len(points), expected_s))
    if waiting:
        reporter.say(str(require_disk(directory.path, [scenario for _, scenario in waiting])))
    write_table(directory)
    if cluster is None:
        run_here(directory, groups, expected_s, reporter)
    else:
        run_on_cluster(cluster, directory, waiting, expected_s, reporter)
    return directory


def _said(count: int, expected_s: Mapping[int, float]) -> str:
    """How many points there are, and how long those take that are to be run."""
    points, done = f"{count} point{'s' if count > 1 else ''}", count - len(expected_s)
    if not expected_s:
        return f"{points}, all done already"
    takes = f"about {duration(sum(expected_s.values()))}"
    return f"{points}, {done} of them done already; {takes} for the rest" if done else f"{points}; {takes}"


def by_network(waiting: Waiting) -> list[Waiting]:
    """Points that may share a network together; groups by their first points, points by their numbers."""
    groups: dict[Hashable, list[tuple[Point, Scenario]]] = {}
    for point, scenario in waiting:
        key = network_key(scenario)
        groups.setdefault(point.number if key is None else key, []).append((point, scenario))
    return list(groups.values())


def run_here(
    directory: SweepDirectory, groups: Sequence[Waiting], expected_s: Mapping[int, float], reporter: Reporter
) -> None:
    """Run points on this host, one after the other; the network stays up between those of a group.

    Args:
        expected_s: how long each point takes, by its number.

    Raises:
        AnotherRun: another run is going on; what was left of the next point is as it was.
    """
    of, began_s = len(directory.all_points), time.monotonic()
    done_s, left_s, left = 0.0, sum(expected_s.values()), ""
    for group in groups:
        try:
            with HeldNetwork([scenario for _, scenario in group], reporter) as network:
                for point, scenario in group:
                    reporter.say(f"point {point.number} of {of}: {point.words}{left}")
                    network.reserve(scenario)  # first: the other run may be this very point of the same sweep
                    run_point(directory, point, reporter, partial(run_on, network, scenario))
                    write_table(directory)
                    done_s += expected_s[point.number]
                    left_s -= expected_s[point.number]
                    left = f"; about {duration(left_s * (time.monotonic() - began_s) / done_s)} left"
        finally:
            write_table(directory)  # verdicts were pending until the network went down


def run_point(
    directory: SweepDirectory, point: Point, reporter: Reporter, run: Callable[[Path], RunDirectory]
) -> None:
    """Run a point by ``run``, which is given its directory; if it fails, its sentence is kept."""
    try:
        run(directory.begin(point))
    except TestbedError as error:
        directory.fail(point, str(error))
        reporter.say(f"point {point.number} failed: {error}")


def expected_each_s(groups: Sequence[Waiting]) -> dict[int, float]:
    """How long each point takes, by its number; the first of a group brings up the network of all.

    The links are measured at the first point of a group, and at the last.
    """
    expected_s: dict[int, float] = {}
    for group in groups:
        estimates = [
            estimated_seconds(scenario, build_trace(scenario), scenario.topology, kept=place > 0)
            for place, (_, scenario) in enumerate(group)
        ]
        numbers, measured_s = [point.number for point, _ in group], estimates[0].measuring_s / 2
        expected_s |= zip(numbers, (estimate.total_s for estimate in estimates), strict=True)
        expected_s[numbers[0]] -= measured_s
        expected_s[numbers[-1]] += measured_s
    return expected_s


def failed(directory: SweepDirectory) -> Sequence[Point]:
    """The points that could not be run."""
    return [point for point in directory.points if directory.failure(point) is not None]
