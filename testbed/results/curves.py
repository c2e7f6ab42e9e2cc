"""Makes frontiers: places each curve, and compares each two, with intervals over the same resamples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from testbed.results.frontier import (
    LEAST_POINTS,
    SHARES,
    Asked,
    Curve,
    Difference,
    Frontier,
    Placed,
    PlacedCurve,
    QualityAt,
)
from testbed.results.measures import Floats
from testbed.results.paired import holm
from testbed.results.resampling import (
    by_prompt,
    interval,
    intervals_together,
    p_value,
    resampled,
)
from testbed.results.statistics import LEAST_RESAMPLED, ROUNDING, Estimate, Interval
from testbed.results.tradeoff import above_at_start, by_burden, least_burden, quality_at

RESAMPLES = 5_000
"""So many that the least p-value, 0.0004, stays below 0.05 when 100 comparisons are taken together."""
LOT_STEPS = 20
"""Into which the line between the ends is cut: of a score that is no mean it is not straight."""


@dataclass(frozen=True)
class _Sums:
    """A point's counts, prompt bytes and cloud-only's, summed: in the first row all, then resamples."""

    label: str
    sums: Floats

    @property
    def burdens(self) -> Floats:
        return np.asarray(self.sums[:, -2] / np.where(self.sums[:, -1] > 0, self.sums[:, -1], 1.0))


@dataclass(frozen=True)
class _Track:
    """A curve in numbers, each of the shape (1 + resamples, points), the points by burden in every row."""

    method: str
    burdens: Floats
    qualities: Floats

    def lacks(self, share: float) -> str | None:
        """Why it has no quality at a burden, if it has none."""
        low, high = self.burdens[0, 0], self.burdens[0, -1]
        if low <= share <= high:
            return None
        return f"{self.method} has no point {f'below {low:.1%}' if share < low else f'above {high:.1%}'}"


def frontier(asked: Asked, seed: int = 0, resamples: int = RESAMPLES) -> Frontier:
    """Place each curve, and compare each two that have several points.

    Intervals are by resampling prompts with all their requests, of all seeds; the same for all curves and
    points, so that differences are paired. The same ``seed`` gives the same. Where one curve alone has
    several points, it is compared with requests dealt by lot to the methods that are its ends.
    """
    prompts = len(set(asked.prompts))
    by_curve, requests = _resampled(asked, seed, resamples)
    known, lot = prompts >= LEAST_RESAMPLED, asked.ends and f"by lot: {asked.ends[0]} or {asked.ends[1]}"
    if asked.ends and lot:
        by_curve[lot] = _by_lot(asked.ends, by_curve)
    placed: list[PlacedCurve] = []
    tracks: list[_Track] = []
    for method, points in by_curve.items():
        qualities = [asked.measure.score(point.sums[:, :-2], requests) for point in points]
        placed.append(PlacedCurve(method, _placed(points, qualities, known), by_lot=method == lot))
        if len(points) > 1:
            burdens = np.column_stack([point.burdens for point in points])
            tracks.append(_Track(method, *by_burden(burdens, np.column_stack(qualities))))
    several = [track for track in tracks if track.method != lot]
    return Frontier(
        heading=asked.heading,
        decimals=asked.decimals,
        condition=asked.condition,
        requests=len(asked.prompts),
        prompts=prompts,
        seeds=asked.seeds,
        curves=placed,
        at=[_quality_at(track, share, known) for track in tracks for share in SHARES],
        differences=_differences(several if len(several) > 1 else tracks, known),
        notes=[*asked.notes, *_few(asked.curves)],
    )


def _resampled(asked: Asked, seed: int, resamples: int) -> tuple[dict[str, list[_Sums]], Floats]:
    """By curve the sums of each point, and of how many requests they are."""
    points = [point for curve in asked.curves for point in curve.points]
    blocks = [np.column_stack([one.counts, one.prompt_bytes, one.cloud_bytes]) for one in points]
    rows = by_prompt(np.hstack([*blocks, np.ones((len(asked.prompts), 1))]), asked.prompts)
    sums = np.vstack([rows.sum(axis=0), resampled(rows, resamples, seed)])
    parts = iter(np.split(sums[:, :-1], len(points), axis=1))
    by_curve = {
        curve.method: [_Sums(point.label, next(parts)) for point in curve.points] for curve in asked.curves
    }
    return by_curve, sums[:, -1]


def _by_lot(ends: tuple[str, str], by_curve: Mapping[str, Sequence[_Sums]]) -> list[_Sums]:
    """What is expected of requests that are dealt to two methods by lot, in all shares."""
    low, high = (by_curve[end][0].sums for end in ends)
    shares = [step / LOT_STEPS for step in range(LOT_STEPS + 1)]
    return [_Sums(f"{share:.0%} to {ends[1]}", (1 - share) * low + share * high) for share in shares]


def _placed(points: Sequence[_Sums], qualities: Sequence[Floats], known: bool) -> list[Placed]:
    found = [
        Placed(
            point.label,
            _estimate(quality, known),
            _estimate(point.burdens, known),
            float(point.sums[0, -2]),
        )
        for point, quality in zip(points, qualities, strict=True)
    ]
    return sorted(found, key=lambda one: (one.burden.value, one.quality.value))


def _estimate(values: Floats, known: bool) -> Estimate:
    return Estimate(float(values[0]), interval(values[1:]) if known and _varies(values[1:]) else None)


def _varies(drawn: Floats) -> bool:
    """Whether resamples differ at all: if all answers are right, they say nothing of how sure that is."""
    return not math.isclose(drawn.min(), drawn.max(), rel_tol=ROUNDING, abs_tol=ROUNDING)


def _quality_at(track: _Track, share: float, known: bool) -> QualityAt:
    if why := track.lacks(share):
        return QualityAt(track.method, share, None, why)
    found = quality_at(track.burdens, track.qualities, share)
    return QualityAt(track.method, share, _estimate(found, known))


_Line = tuple[Difference, Floats | None]
"""A line of a table, and its difference in the sample and in each resample, if it has one."""


def _differences(tracks: Sequence[_Track], known: bool) -> list[Difference]:
    """Each two curves at each share, in quality and in bytes; with what holds of all lines together."""
    lines = [
        compared(first, second, share)
        for compared in (_in_quality, _in_bytes)
        for first, second in combinations(tracks, 2)
        for share in SHARES
    ]
    drawn = [values[1:] for _, values in lines if values is not None]
    if not known or not drawn:
        return [line for line, _ in lines]
    p_values = [p_value(values) for values in drawn]
    found = zip(drawn, intervals_together(np.column_stack(drawn)), p_values, holm(p_values), strict=True)
    return [line if values is None else _found(line, *next(found)) for line, values in lines]


def _found(
    line: Difference, drawn: Floats, together: Interval, p_value: float, adjusted_p: float
) -> Difference:
    line = replace(line, p_value=p_value, adjusted_p=adjusted_p)
    return replace(line, interval=interval(drawn), together=together) if _varies(drawn) else line


def _in_quality(first: _Track, second: _Track, share: float) -> _Line:
    line = Difference("quality", first.method, second.method, share)
    if why := first.lacks(share) or second.lacks(share):
        return replace(line, why=why), None
    values = [quality_at(track.burdens, track.qualities, share) for track in (first, second)]
    return _of(line, *values), values[1] - values[0]


def _in_bytes(first: _Track, second: _Track, share: float) -> _Line:
    """Where a resample's second curve never has the quality, or has it at its start, there is no bound."""
    line = Difference("bytes", first.method, second.method, share)
    if why := first.lacks(share):
        return replace(line, why=why), None
    wanted = quality_at(first.burdens, first.qualities, share)
    values = [least_burden(track.burdens, track.qualities, wanted) for track in (first, second)]
    before, cheaper = (above_at_start(track.qualities, wanted) for track in (first, second))
    if math.isinf(values[1][0]):
        return replace(line, why=f"{second.method} is nowhere as good"), None
    if cheaper[0]:
        return replace(line, why=f"{second.method} is better with the least bytes that it was tried at"), None
    return _of(line, *values), np.where(cheaper & ~before, -np.inf, values[1] - values[0])


def _of(line: Difference, first: Floats, second: Floats) -> Difference:
    one, other = float(first[0]), float(second[0])
    return replace(line, values=(one, other), difference=other - one)


def _few(curves: Sequence[Curve]) -> Iterator[str]:
    """What is said of curves of few points."""
    for curve in curves:
        if 1 < len(curve.points) < LEAST_POINTS:
            yield (
                f"{curve.method} has {len(curve.points)} points; with fewer than {LEAST_POINTS}, "
                "straight lines between them may hide how it bends"
            )
