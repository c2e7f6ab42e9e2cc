"""Frontiers of cases that can be worked out by hand, and intervals that hold what they are to hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from testbed.results.curves import frontier
from testbed.results.frontier import Asked, Curve, Difference, OperatingPoint
from testbed.results.measures import measure_of
from testbed.results.scorers import SCORERS

Floats = NDArray[np.float64]
SHARES_UP = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.9)


def point(
    label: str, right: Sequence[bool] | NDArray[np.bool_], sent: Floats, cloud: Floats
) -> OperatingPoint:
    return OperatingPoint(label, np.array(right, dtype=float)[:, np.newaxis], sent, cloud)


def asked(*curves: Curve, prompts: Sequence[int] | None = None, ends: tuple[str, str] | None = None) -> Asked:
    measure = measure_of(SCORERS["classification"])
    assert measure is not None
    return Asked(measure, "accuracy", 3, prompts or range(len(curves[0].points[0].counts)), curves, ends)


def firsts(share: float, right: float, count: int = 100) -> OperatingPoint:
    """Requests of a byte each, of which the first ones are sent up, and the last ones answered rightly."""
    at, ones = np.arange(count), np.ones(count)
    return point(f"{share}", at >= count * (1 - right), (at < count * share).astype(float), ones)


class World:
    """Requests from a population in which confidence knows something of how hard they are."""

    def __init__(self, seed: int, requests: int) -> None:
        chance = np.random.default_rng(seed)
        hard, self.lot = chance.random(requests), chance.random(requests)
        self.low = chance.random(requests) < 0.98 - 0.5 * hard
        self.high = chance.random(requests) < 0.97 - 0.15 * hard
        self.unsure = hard + 0.3 * chance.standard_normal(requests)
        self.bytes = chance.lognormal(4.5, 0.5, requests) * (0.7 + 0.6 * hard)

    def curve(self, method: str, score: Floats) -> Curve:
        """The share of requests with the highest scores is sent up, as recursion's windows do."""
        ups = [(share, score >= np.quantile(score, 1 - share)) for share in SHARES_UP]
        points = [
            point(f"{share}", np.where(up, self.high, self.low), up * self.bytes, self.bytes)
            for share, up in ups
        ]
        return Curve(method, points)

    def asked(self) -> Asked:
        return asked(self.curve("by confidence", self.unsure), self.curve("by lot", self.lot))


def line(differences: Sequence[Difference], kind: str, share: float) -> Difference:
    (found,) = (one for one in differences if (one.kind, one.share) == (kind, share))
    return found


def test_quality_and_bytes_are_read_off_the_lines_between_points() -> None:
    better = Curve("better", [firsts(0.05, 0.5), firsts(0.3, 0.75), firsts(0.5, 0.8)])
    worse = Curve("worse", [firsts(0.02, 0.4), firsts(0.42, 0.6), firsts(0.92, 0.8)])
    found = frontier(asked(better, worse))
    assert [(one.method, one.share) for one in found.at] == [
        (method, share) for method in ("better", "worse") for share in (0.1, 0.2, 0.4)
    ]
    qualities = [one.quality.value for one in found.at if one.quality]
    assert qualities == pytest.approx([0.55, 0.65, 0.775, 0.44, 0.49, 0.59])
    quality = line(found.differences, "quality", 0.2)
    assert (quality.first, quality.second) == ("better", "worse")
    assert quality.difference == pytest.approx(-0.16)
    needed = line(found.differences, "bytes", 0.2)
    assert needed.values == pytest.approx((0.2, 0.42 + 0.5 * 0.25))
    assert needed.difference == pytest.approx(0.345)


def test_points_are_placed_by_burden_with_the_sums_of_their_requests() -> None:
    curve = Curve("one", [firsts(0.5, 0.8), firsts(0.1, 0.6)])
    (placed,) = frontier(asked(curve)).curves
    assert [(one.label, one.prompt_bytes) for one in placed.points] == [("0.1", 10), ("0.5", 50)]
    assert [one.burden.value for one in placed.points] == pytest.approx([0.1, 0.5])
    assert [one.quality.value for one in placed.points] == pytest.approx([0.6, 0.8])
    assert placed.points[0].burden.interval == pytest.approx((0.04, 0.16), abs=0.015)


def test_what_lies_beyond_a_curve_is_not_given_and_why_is_said() -> None:
    one = Curve("one", [firsts(0.15, 0.5), firsts(0.5, 0.9)])
    other = Curve("other", [firsts(0.12, 0.55), firsts(0.3, 0.7)])
    found = frontier(asked(one, other))
    whys = {(one.method, one.share): one.why for one in found.at}
    assert whys["one", 0.1] == "one has no point below 15.0%"
    assert whys["other", 0.4] == "other has no point above 30.0%"
    assert whys["one", 0.2] is None
    assert line(found.differences, "quality", 0.4).why == "other has no point above 30.0%"
    assert line(found.differences, "bytes", 0.4).why == "other is nowhere as good"
    swapped = frontier(asked(other, replace(one, points=[firsts(0.15, 0.65), firsts(0.5, 0.9)])))
    assert line(swapped.differences, "bytes", 0.2).why is not None
    assert "better with the least bytes" in str(line(swapped.differences, "bytes", 0.2).why)
    for each in found.differences:
        assert (each.difference is None) == (each.p_value is None) == (each.why is not None)


def test_like_methods_do_not_differ() -> None:
    curve = World(1, 200).curve("one", World(1, 200).unsure)
    found = frontier(asked(curve, replace(curve, method="the same")))
    assert len(found.differences) == 6
    for one in found.differences:
        assert (one.difference, one.interval, one.together) == (0, None, None)
        assert (one.p_value, one.adjusted_p) == (1, 1)


def test_the_order_of_requests_points_and_repeated_calls_change_nothing() -> None:
    world = World(2, 150).asked()
    order = np.random.default_rng(0).permutation(150)
    turned = replace(
        world,
        prompts=[world.prompts[at] for at in order],
        curves=[
            Curve(
                curve.method,
                [
                    OperatingPoint(
                        one.label, one.counts[order], one.prompt_bytes[order], one.cloud_bytes[order]
                    )
                    for one in reversed(curve.points)
                ],
            )
            for curve in world.curves
        ],
    )
    first, other = frontier(world), frontier(turned)
    assert first == frontier(world)
    for one, two in zip(first.differences, other.differences, strict=True):
        assert one.difference == pytest.approx(two.difference)
        assert one.interval == pytest.approx(two.interval)
        assert one.adjusted_p == pytest.approx(two.adjusted_p)


def test_requests_of_one_prompt_say_nothing_new() -> None:
    world = World(3, 100).asked()
    thrice = replace(
        world,
        prompts=[*world.prompts] * 3,
        curves=[
            Curve(
                curve.method,
                [
                    OperatingPoint(
                        one.label,
                        np.tile(one.counts, (3, 1)),
                        np.tile(one.prompt_bytes, 3),
                        np.tile(one.cloud_bytes, 3),
                    )
                    for one in curve.points
                ],
            )
            for curve in world.curves
        ],
    )
    once, all_three = frontier(world), frontier(thrice)
    assert (all_three.requests, all_three.prompts) == (300, 100)
    for one, other in zip(once.differences, all_three.differences, strict=True):
        assert one.interval == pytest.approx(other.interval)


def test_p_values_are_corrected_for_all_lines_together_by_holms_rule() -> None:
    found = frontier(World(4, 400).asked()).differences
    p_values = {place: one.p_value for place, one in enumerate(found) if one.p_value is not None}
    least = 0.0
    for rank, place in enumerate(sorted(p_values, key=lambda place: p_values[place])):
        least = max(least, min(1.0, p_values[place] * (len(p_values) - rank)))
        assert found[place].adjusted_p == pytest.approx(least)
    assert len(p_values) == 6
    for one in found:
        assert one.interval is not None
        assert one.together is not None
        assert one.together.low <= one.interval.low <= one.interval.high <= one.together.high
        if one.p_value is not None and abs(one.p_value - 0.05) > 0.005:
            assert (one.p_value < 0.05) == (not one.interval.low <= 0 <= one.interval.high)


def test_intervals_hold_the_truth_alone_and_together() -> None:
    """In 120 samples, 0.87 is four standard errors below 0.95."""
    truth = [one.difference for one in frontier(World(0, 300_000).asked(), resamples=1).differences]
    held = []
    for seed in range(120):
        found = frontier(World(1000 + seed, 250).asked(), seed, resamples=400).differences
        held.append(
            [
                [
                    interval is not None and value is not None and interval.low <= value <= interval.high
                    for interval in (one.interval, one.together)
                ]
                for one, value in zip(found, truth, strict=True)
                if one.kind == "quality" or one.share > 0.1
            ]
        )
    alone, together = np.array(held).transpose(2, 0, 1)
    assert (alone.mean(axis=0) > 0.87).all()
    assert together.all(axis=1).mean() > 0.87
    assert alone.all(axis=1).mean() < together.all(axis=1).mean()


def test_one_curve_alone_is_held_against_requests_dealt_by_lot() -> None:
    world = World(5, 300)
    low = Curve("device-only", [point("", world.low, np.zeros(300), world.bytes)])
    top = Curve("cloud-only", [point("", world.high, world.bytes, world.bytes)])
    curve = world.curve("recserve", world.unsure)
    found = frontier(asked(curve, low, top, ends=("device-only", "cloud-only")))
    lot = found.curves[-1]
    assert lot.by_lot
    accuracies = [world.low.mean(), world.high.mean()]
    for one in lot.points:
        expected = accuracies[0] + one.burden.value * (accuracies[1] - accuracies[0])
        assert one.quality.value == pytest.approx(expected)
    assert {(one.first, one.second) for one in found.differences} == {("recserve", lot.method)}
    several = frontier(
        asked(curve, world.curve("colserve", world.lot), low, top, ends=("device-only", "cloud-only"))
    )
    assert {(one.first, one.second) for one in several.differences} == {("recserve", "colserve")}
    assert lot.method in [one.method for one in several.at]


def test_resamples_beyond_a_curves_ends_leave_the_interval_open() -> None:
    """A second curve that has the quality only just, and not in all resamples."""
    world = World(6, 200)
    one, other = world.curve("one", world.unsure), world.curve("other", world.lot)
    cut = replace(other, points=other.points[:5])
    found = frontier(asked(one, cut)).differences
    opened = [each for each in found if each.kind == "bytes" and each.interval is not None]
    assert any(math.isinf(each.interval.high) for each in opened if each.interval)
    assert all(each.difference is not None and math.isfinite(each.difference) for each in opened)


def test_fewer_than_ten_prompts_have_figures_and_no_interval() -> None:
    found = frontier(asked(Curve("a", [firsts(0.1, 0.5, 8), firsts(0.5, 0.9, 8)])))
    assert found.at[1].quality is not None
    assert found.at[1].quality.interval is None
    assert found.curves[0].points[0].burden.interval is None


def test_answers_that_are_all_right_leave_no_interval() -> None:
    """Resamples of them are all alike, which does not make the accuracy certain."""
    found = frontier(asked(*(Curve(name, [firsts(0.1, 1), firsts(0.7, 1)]) for name in ("one", "other"))))
    assert [(one.quality.value, one.quality.interval) for one in found.curves[0].points] == [(1, None)] * 2
    assert all(one.burden.interval for one in found.curves[0].points)
    quality = line(found.differences, "quality", 0.2)
    assert (quality.difference, quality.interval, quality.together, quality.p_value) == (0, None, None, 1)


def test_curves_of_few_points_are_said_to_be() -> None:
    few = Curve("few", [firsts(0.1, 0.5), firsts(0.5, 0.9)])
    world = World(7, 100)
    assert "few has 2 points" in frontier(asked(few)).notes[0]
    assert frontier(asked(world.curve("many", world.lot))).notes == []


@pytest.mark.parametrize("kind", ["translation", "question"])
def test_other_scores_have_frontiers_too(kind: str) -> None:
    measure, chance = measure_of(SCORERS[kind]), np.random.default_rng(8)
    assert measure is not None
    make: Callable[[float], Floats] = (
        (lambda share: chance.binomial([[9, 8, 7, 6]], share, (60, 4)).astype(float))
        if kind == "translation"
        else (lambda share: (chance.random((60, 1)) < share).astype(float))
    )
    rest = np.tile([9.0, 8, 7, 6, 9, 9], (60, 1)) if kind == "translation" else np.zeros((60, 0))
    points = [
        OperatingPoint(f"{share}", np.hstack([make(0.3 + share / 2), rest]), np.full(60, share), np.ones(60))
        for share in (0.05, 0.3, 0.6)
    ]
    found = frontier(replace(asked(Curve("one", points), Curve("other", points)), measure=measure))
    scores = [float(measure.score(one.counts.sum(axis=0), 60)) for one in points]
    assert [one.quality.value for one in found.curves[0].points] == pytest.approx(scores)
    assert [one.difference for one in found.differences] == [0] * 6
