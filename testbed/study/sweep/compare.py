"""Compares runs, or sweeps: methods at each setting of one sweep, or points that several have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed.errors import TestbedError
from testbed.results.comparable import (
    Loaded,
    changed,
    labels,
    load,
    named,
    other_contents,
    require_comparable,
)
from testbed.results.compare import (
    Compared,
    Comparison,
    adjusted,
    compare_runs,
    compare_sides,
    pairs_of_methods,
    pairs_of_runs,
)
from testbed.results.directory import RunDirectory
from testbed.results.fidelity import CLAIMS
from testbed.results.scorers import Scorer, chosen_scorer
from testbed.scenario.reading.yamlfile import parse_yaml
from testbed.scenario.sections.kind import today
from testbed.study.sweep.directory import SweepDirectory, is_sweep
from testbed.study.sweep.points import Point


def compare(
    paths: Sequence[Path], methods: Sequence[str] | None = None, score: str | None = None
) -> Comparison:
    """Compare runs, or sweeps; of one each method with each, of several each with the first.

    Args:
        methods: only these.
        score: by this one of the task's scores, not by the first.

    Raises:
        TestbedError: they cannot be compared, and why.
    """
    sweeps = [path for path in paths if is_sweep(path)]
    if not sweeps:
        return compare_runs([RunDirectory.open(path) for path in paths], methods, score)
    for path in paths:
        if path not in sweeps:
            raise TestbedError(
                f"{path} is no sweep and {sweeps[0]} is one: name sweeps alone, or the runs of points, which "
                "are in points/ of a sweep"
            )
    called = labels([path.resolve().name for path in paths], paths)
    first, *others = map(_Sweep, map(SweepDirectory.open, paths), called)
    wanted = _Wanted(methods, score)
    found = [_between(first, other, wanted) for other in others] or [_within(first, wanted)]
    compared = adjusted([one for comparison in found for one in comparison.compared])
    notes = [note for sweep in (first, *others) for note in sweep.left_out()]
    return Comparison(found[0].scorer, compared, notes + [n for each in found for n in each.notes])


@dataclass(frozen=True)
class _Wanted:
    methods: Sequence[str] | None
    score: str | None

    def scorer(self, runs: Sequence[Loaded], before: Scorer | None) -> Scorer:
        """The score of runs; all that are compared together have the same."""
        found = chosen_scorer(runs[0].scenario.task.kind, self.score)
        if before is not None and found is not before:
            raise TestbedError(
                f"{runs[0].label} is about {today(runs[0].scenario.task.kind)}, and points before it about "
                "another task: their scores cannot be compared"
            )
        return found


@dataclass(frozen=True)
class _Sweep:
    directory: SweepDirectory
    label: str

    def finished(self) -> list[Point]:
        """The points that were run to their end.

        Raises:
            TestbedError: there is none.
        """
        points = [point for point in self.directory.points if self.directory.finished(point)]
        if not points:
            raise TestbedError(f"{self.directory.path}: no point was run to its end; go on with the sweep")
        return points

    def left_out(self) -> Iterator[str]:
        """What is not compared since it was not run to its end."""
        points = [point for point in self.directory.points if not self.directory.finished(point)]
        if points:
            yield f"left out of {self.label}, not finished: {named([_words(point) for point in points])}"

    def load(self, point: Point) -> Loaded:
        """Read a point's run."""
        return load(RunDirectory.open(self.directory.run_path(point)), f"{self.label}/{point.name}")


def _words(point: Point) -> str:
    return f"point {point.number} ({point.words})"


def _within(sweep: _Sweep, wanted: _Wanted) -> Comparison:
    """Each method with each at each of a sweep's settings, all seeds together."""
    by_settings: dict[tuple[str, ...], list[Point]] = {}
    for point in sweep.finished():
        by_settings.setdefault(tuple(point.settings.values()), []).append(point)
    compared: list[Compared] = []
    verdicts: _Verdicts = {}
    scorer = None
    for points in by_settings.values():
        runs = [sweep.load(point) for point in points]
        scorer = wanted.scorer(runs, scorer)
        where = _setting(points[0]) or sweep.label
        for one, other in pairs_of_methods(runs, wanted.methods, where):
            compared.append(compare_sides(scorer, one, other, points[0].settings))
        verdicts |= {run.label: run.summary["faithful"] for run in runs}
    assert scorer is not None
    return Comparison(scorer, compared, list(_doubts(verdicts)))


def _between(first: _Sweep, other: _Sweep, wanted: _Wanted) -> Comparison:
    """The methods of two sweeps at the settings and seeds that both have, those of a setting together."""
    firsts, others = ({_key(point): point for point in sweep.finished()} for sweep in (first, other))
    by_settings: dict[_Values, list[tuple[Point, Point]]] = {}
    for key, point in firsts.items():
        if key in others:
            by_settings.setdefault(key[0], []).append((point, others[key]))
    if not by_settings:
        raise TestbedError(
            f"{first.label} and {other.label} have no finished point with the same settings and seed; "
            f"{first.label} has {_example(firsts)}, {other.label} has {_example(others)}"
        )
    compared: list[Compared] = []
    verdicts: _Verdicts = {}
    changes: dict[str, None] = {}
    scorer = None
    for points in by_settings.values():
        runs = [(first.load(one), other.load(its)) for one, its in points]
        for pair in runs:
            require_comparable(pair)
            changes |= dict.fromkeys(changed(pair[0].resolved, pair[1].resolved))
            changes |= dict.fromkeys(other_contents(*pair))
        ours, theirs = ([pair[at] for pair in runs] for at in (0, 1))
        scorer = wanted.scorer(ours, scorer)
        for one, its in pairs_of_runs(ours, theirs, wanted.methods, (first.label, other.label)):
            compared.append(compare_sides(scorer, one, its, points[0][0].settings))
        verdicts |= {run.label: run.summary["faithful"] for run in (*ours, *theirs)}
    assert scorer is not None
    notes = [
        *_missing(first, firsts, other, others),
        *_missing(other, others, first, firsts),
        f"from {first.label} to {other.label}: {named(list(changes)) or 'the same scenarios'}",
    ]
    return Comparison(scorer, compared, [*notes, *_doubts(verdicts)])


_Values = frozenset[tuple[str, str]]
_Key = tuple[_Values, int]


def _key(point: Point) -> _Key:
    """What makes points of two sweeps the same: the values of settings, however written, and the seed."""
    return frozenset((key, repr(parse_yaml(value))) for key, value in point.settings.items()), point.seed


def _setting(point: Point) -> str:
    return ", ".join(f"{key}={value}" for key, value in point.settings.items())


def _example(points: Mapping[_Key, Point]) -> str:
    return f"{next(iter(points.values())).words}" + (" and others" if len(points) > 1 else "")


def _missing(
    one: _Sweep, points: Mapping[_Key, Point], other: _Sweep, others: Mapping[_Key, Point]
) -> Iterator[str]:
    alone = [_words(point) for key, point in points.items() if key not in others]
    if alone:
        yield f"of {one.label} alone, not compared: {named(alone)}"


_Verdicts = dict[str, Mapping[str, bool]]
"""By point, by claim, whether it holds."""


def _doubts(verdicts: _Verdicts) -> Iterator[str]:
    """For each claim the points at which it does not hold."""
    for claim in CLAIMS:
        points = [label for label, faithful in verdicts.items() if not faithful[claim]]
        if points:
            where = f"all {len(points)} points" if len(points) == len(verdicts) else named(points)
            yield f"a verdict speaks against {claim} in {where}"
