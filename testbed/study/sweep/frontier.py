"""Quality against burden of a sweep: a frontier for each combination of values that are no method's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from testbed.errors import TestbedError
from testbed.results.curves import frontier
from testbed.results.directory import RunDirectory
from testbed.results.frontier import Asked, Curve, Frontier, Frontiers, OperatingPoint
from testbed.results.measures import Floats, Measure, measure_of
from testbed.study.frontiers import NONE_VARIED, Points, curves_of, too_many
from testbed.study.sweep.directory import SweepDirectory
from testbed.study.sweep.points import Point
from testbed.study.sweep.readings import Reading, RunReadings, Unit, prompts_of, read_run

SEED = "trace.seed"
"""The key whose values are seeds, as ``--repeat`` gives them, and no condition."""


def frontiers_of(sweep: SweepDirectory) -> Frontiers:
    """The frontiers of a sweep's points so far, one for each condition: the values of keys of no method.

    Points that wait or failed, or whose verdict on bytes or quality is false, are left out and named. Why
    there is no frontier at a condition is said among the notes; so is what is wrong with a damaged point.
    """
    by_condition: dict[tuple[tuple[str, str], ...], list[RunReadings]] = {}
    apart = _keys_apart(sweep.points)
    left_out: dict[str, list[str]] = {}
    for point in sweep.points:
        found = _read(sweep, point)
        if isinstance(found, str):
            left_out.setdefault(found, []).append(str(point.number))
        else:
            by_condition.setdefault(tuple((key, point.settings[key]) for key in apart), []).append(found)
    notes = [
        f"left out: {'points' if len(points) > 1 else 'point'} {', '.join(points)}: {why}"
        for why, points in left_out.items()
    ]
    made = {condition: _frontier(dict(condition), runs) for condition, runs in by_condition.items()}
    none: dict[str, list[str]] = {}
    for condition, one in made.items():
        if isinstance(one, str):
            none.setdefault(one, []).append(", ".join(f"{key}={value}" for key, value in condition))
    for why, where in none.items():
        at = "" if len(where) == len(made) else f" at {'; '.join(where)}"
        notes.append(f"no frontier{at}: {why}")
    return Frontiers([one for one in made.values() if isinstance(one, Frontier)], notes)


def _read(sweep: SweepDirectory, point: Point) -> RunReadings | str:
    if sweep.finished(point):
        try:
            return read_run(RunDirectory.open(sweep.run_path(point)))
        except TestbedError as error:  # the other points are whole
            return str(error)
    return "waiting" if sweep.failure(point) is None else "failed"


def _keys_apart(points: Sequence[Point]) -> list[str]:
    """The keys whose values set frontiers apart: those that vary, but for methods' and the seed's."""
    keys = dict.fromkeys(key for point in points for key in point.settings)
    return [
        key
        for key in keys
        if key.partition(".")[0] != "methods" and key != SEED and len({p.settings[key] for p in points}) > 1
    ]


def _frontier(condition: Mapping[str, str], runs: Sequence[RunReadings]) -> Frontier | str:
    """The frontier of runs that differ in their methods' settings and seeds alone, or why there is none."""
    scorer, tiers = runs[0].scorer, runs[0].tiers
    measure, prompts = measure_of(scorer), prompts_of(runs)
    if measure is None:
        return "answers to this task have no score"
    if prompts is None:
        return "points of one seed did not replay the same prompts"
    readings = [reading for run in runs for reading in run.readings]
    curves, notes = _with_their_seeds(curves_of([reading.setting for reading in readings]), readings)
    if why := too_many(len(curves)):
        return why
    if all(len(curve.places) < 2 for curve in curves):
        return NONE_VARIED
    asked = [_units(readings, places) for curve in curves for places in curve.places.values()]
    units, every = sorted(set.intersection(*asked)), len(set.union(*asked))
    if not units:
        return "no request is common to all points"
    if every > len(units):
        notes.append(f"{every - len(units)} requests that some points lack are left out of all")
    names = {curve.policy: curve.name for curve in curves}
    lowest, top = (names.get(f"{tier}-only") for tier in (tiers[0], tiers[-1]))
    return frontier(
        Asked(
            measure,
            scorer.heading,
            scorer.decimals,
            [prompts[unit] for unit in units],
            _filled(curves, readings, units, measure),
            None if lowest is None or top is None else (lowest, top),
            condition,
            sorted({seed for seed, _ in units}),
            notes,
        )
    )


def _with_their_seeds(
    curves: Sequence[Points], readings: Sequence[Reading]
) -> tuple[list[Points], list[str]]:
    """Curves of those points that have all seeds that most have, of these seeds; and what was left out."""
    seeds = {
        (curve.name, label): {readings[place].seed for place in places}
        for curve in curves
        for label, places in curve.places.items()
    }
    every = sorted(set().union(*seeds.values()))
    most = {seed for seed in every if 2 * sum(seed in its for its in seeds.values()) > len(seeds)}
    notes = [
        f"left out: {' '.join(filter(None, key))}: no run of seed {', '.join(map(str, sorted(most - its)))}"
        for key, its in seeds.items()
        if not its >= most
    ]
    if rest := [str(seed) for seed in every if seed not in most]:
        notes.append(f"left out: seed {', '.join(rest)}: few points have a run of it")
    kept = []
    for curve in curves:
        places = {
            label: [place for place in places if readings[place].seed in most]
            for label, places in curve.places.items()
            if seeds[curve.name, label] >= most
        }
        kept += [Points(curve.name, curve.policy, places)] if places and most else []
    return kept, notes


def _units(readings: Sequence[Reading], places: Sequence[int]) -> set[Unit]:
    """The requests of an operating point."""
    return {unit for place in places for unit in readings[place].requests}


def _filled(
    curves: Sequence[Points], readings: Sequence[Reading], units: Sequence[Unit], measure: Measure
) -> list[Curve]:
    """The curves with what was counted of each request; each different answer is counted once."""
    used = [place for curve in curves for places in curve.places.values() for place in places]
    answers = {answer: 0 for place in used for answer in map(_answer, readings[place].requests.values())}
    judged, references = zip(*answers, strict=True)
    counts = dict(zip(answers, measure.count(judged, references), strict=True))
    at = {unit: place for place, unit in enumerate(units)}
    return [
        Curve(
            curve.name,
            [
                _point(label, [readings[place] for place in places], at, counts)
                for label, places in curve.places.items()
            ],
        )
        for curve in curves
    ]


def _point(
    label: str,
    readings: Sequence[Reading],
    at: Mapping[Unit, int],
    counts: Mapping[tuple[object, str], Floats],
) -> OperatingPoint:
    """One setting; where several points of the sweep have it, of each request the mean over them."""
    rows, places = [], []
    for reading in readings:
        for unit, (judged, reference, sent, beside) in reading.requests.items():
            if unit in at:
                places.append(at[unit])
                rows.append([*counts[judged, reference], sent, beside])
    columns = np.array(rows, dtype=np.float64)
    sums = np.zeros((len(at), columns.shape[1]))
    np.add.at(sums, places, columns)
    means = sums / np.bincount(places, minlength=len(at))[:, np.newaxis]
    return OperatingPoint(label, means[:, :-2], means[:, -2], means[:, -1])


def _answer(request: tuple[object, str, int, int]) -> tuple[object, str]:
    """What is judged of a request, and its reference."""
    return request[:2]
