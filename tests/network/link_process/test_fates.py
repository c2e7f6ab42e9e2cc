"""What becomes of the i-th frame: by seed, method, link, direction and i alone, by netem's rules."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import cast

import pytest

from testbed.network.link_process.fates import STREAMS, Fates, Way, WayFigures, standardised

HALF = 0.5


class Told(Fates):
    """Fates of which a test says each number; all others are a half."""

    def __init__(self, *frames: dict[str, float]) -> None:
        self._told = [tuple(one.get(name, HALF) for name in STREAMS) for one in frames]

    def draw(self) -> tuple[float, ...]:
        return self._told.pop(0)


def fates(seed: object = 1, method: str = "cloud-only", link: str = "a-b", direction: str = "up") -> Fates:
    return Fates(seed, method, link, direction)


def draws(one: Fates, frames: int = 50) -> list[tuple[float, ...]]:
    return [one.draw() for _ in range(frames)]


def fared(figures: WayFigures, frames: int, one: Fates | None = None) -> list[tuple[int, ...]]:
    """When each of as many frames, one a second, came out: after how long, as often as it did."""
    way = Way(figures, one or fates())
    return [tuple(at_ns - place * 10**9 for at_ns in way.enter(place * 10**9)) for place in range(frames)]


def lost(figures: WayFigures, frames: int, one: Fates | None = None) -> list[bool]:
    return [not times for times in fared(figures, frames, one)]


def test_the_first_fates_of_a_seed_are_these_for_every_python() -> None:
    assert draws(fates(), 2) == [
        (
            0.35177871466981614,
            0.21113477767631783,
            0.030500797027309456,
            0.3507978384857582,
            0.2644948876885661,
            0.6068539772085028,
            0.49913824240445026,
        ),
        (
            0.4953940089793364,
            0.8081174852257886,
            0.7133463865527029,
            0.4131063021706046,
            0.357959488924954,
            0.8793086255020028,
            0.48619899038064585,
        ),
    ]


def test_the_first_losses_of_a_seed_are_these_for_every_python() -> None:
    seen = lost(WayFigures(loss=0.02), 400, fates(1, "recserve", "edge1-cloud1", "down"))
    assert [place for place, is_lost in enumerate(seen) if is_lost] == [
        26,
        73,
        126,
        209,
        245,
        277,
        290,
        292,
        387,
    ]


def test_fates_differ_by_seed_method_link_and_direction_and_by_nothing_else() -> None:
    assert draws(fates()) == draws(fates()) == draws(fates("1"))
    ways = [fates(), fates(2), fates(method="recserve"), fates(link="a-c"), fates(direction="down")]
    assert len({tuple(draws(one)) for one in ways}) == len(ways)


def test_no_two_streams_of_a_direction_are_the_same() -> None:
    assert len(set(zip(*draws(fates()), strict=True))) == len(STREAMS)


@pytest.mark.parametrize(
    "other",
    [
        {"duplicate": 0.0},
        {"reorder": 0.4},
        {"jitter_ns": 10**6},
        {"delay_ns": 10**7},
        {"delays_ns": [1, 2, 3]},
    ],
)
def test_whether_a_frame_is_lost_does_not_hang_on_the_other_figures(other: dict[str, object]) -> None:
    plain = lost(WayFigures(loss=0.1), 500)
    assert lost(WayFigures(loss=0.1, **other), 500) == plain  # type: ignore[arg-type]


def test_a_figure_that_is_0_for_a_while_shifts_nothing() -> None:
    always = WayFigures(loss=0.3, jitter_ns=10**6, delay_ns=10**7, reorder=0.2)
    way, changed = Way(always, fates()), Way(always, fates())
    for place in range(300):
        changed.figures = WayFigures() if 100 <= place < 200 else always
        seen = changed.enter(place * 10**9)
        kept = way.enter(place * 10**9)
        if place in range(100, 200):
            assert seen == (place * 10**9,)
        else:
            assert seen == kept


def test_a_higher_loss_loses_the_same_frames_and_more() -> None:
    few, many = lost(WayFigures(loss=0.02), 2000), lost(WayFigures(loss=0.05), 2000)
    assert sum(few) < sum(many)
    assert all(more for less, more in zip(few, many, strict=True) if less)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (1.0, 1000)])
def test_nothing_and_everything_are_what_they_say(share: float, expected: int) -> None:
    assert sum(lost(WayFigures(loss=share), 1000)) == expected
    doubled = fared(WayFigures(duplicate=share), 1000)
    assert sum(len(times) == 2 for times in doubled) == expected


@pytest.mark.parametrize("loss", [0.001, 0.02, 0.3])
def test_the_share_that_is_lost_is_the_probability(loss: float) -> None:
    frames = 50_000
    spread = 4 * math.sqrt(frames * loss * (1 - loss))
    assert sum(lost(WayFigures(loss=loss), frames)) == pytest.approx(frames * loss, abs=spread)


def test_a_frame_that_is_lost_and_doubled_goes_on_once() -> None:
    way = Way(WayFigures(loss=0.1, duplicate=0.1, delay_ns=5), Told({"loss": 0.05, "duplicate": 0.05}))
    assert way.enter(0) == (5,)
    assert (way.lost_frames, way.duplicated_frames) == (0, 0)


def test_a_second_copy_may_be_lost_by_a_draw_of_its_own() -> None:
    twice = {"duplicate": 0.05}
    way = Way(
        WayFigures(loss=0.1, duplicate=0.1), Told(twice, twice | {"copy-loss": 0.05}, {"copy-loss": 0.05})
    )
    assert way.enter(0) == (0, 0)
    assert way.enter(1) == (1,)
    assert (way.lost_frames, way.duplicated_frames) == (1, 2)
    assert way.enter(2) == (2,)  # without a copy its draw is nobody's
    assert (way.lost_frames, way.duplicated_frames) == (1, 2)


def test_only_the_first_copy_is_sent_ahead() -> None:
    way = Way(WayFigures(delay_ns=7, duplicate=0.1, reorder=0.1), Told({"duplicate": 0.0, "reorder": 0.0}))
    assert way.enter(0) == (0, 7)


def test_a_draw_that_equals_the_probability_spares_the_frame() -> None:
    way = Way(WayFigures(loss=0.25), Told({"loss": 0.25}, {"loss": math.nextafter(0.25, 0)}))
    assert way.enter(0) == (0,)
    assert way.enter(0) == ()


def test_no_delay_is_below_0_and_none_ends_before_that_of_the_frame_ahead() -> None:
    way = Way(WayFigures(delay_ns=1000, jitter_ns=10**6), Told({"jitter": 0.001}, {"jitter": 0.999}, {}))
    assert way.enter(50) == (50,)
    (late_ns,) = way.enter(60)
    assert late_ns > 3_000_000
    assert way.enter(70) == (late_ns,)


def test_a_burst_begins_good_and_each_frame_is_lost_by_the_state_before_its_step() -> None:
    steps = ({"state": 0.05}, {"state": 0.5}, {"state": 0.2}, {"state": 0.9})  # to bad, stay, back, stay
    way = Way(WayFigures(loss=1.0, bursts=(0.1, 0.3, 1.0, 0.0)), Told(*steps))
    assert [way.enter(place) for place in range(4)] == [(0,), (), (), (3,)]


def test_a_method_begins_in_the_good_state() -> None:
    bursts = (1.0, 0.0, 1.0, 0.0)
    way = Way(WayFigures(bursts=bursts), fates())
    assert [bool(way.enter(place)) for place in range(3)] == [True, False, False]
    way.begin(fates(method="next"))
    assert [bool(way.enter(place)) for place in range(3)] == [True, False, False]


@pytest.mark.parametrize(("p", "r", "bad", "good"), [(0.01, 0.3, 1.0, 0.0), (0.05, 0.2, 0.6, 0.01)])
def test_bursts_have_the_share_and_the_lengths_of_theory(p: float, r: float, bad: float, good: float) -> None:
    frames = 200_000
    seen = lost(WayFigures(bursts=(p, r, bad, good)), frames)
    share = (p * bad + r * good) / (p + r)
    assert sum(seen) / frames == pytest.approx(share, rel=0.05)
    if (bad, good) == (1.0, 0.0):  # each burst is one stay in the bad state: geometric
        lengths = [len(list(group)) for is_lost, group in itertools.groupby(seen) if is_lost]
        assert statistics.fmean(lengths) == pytest.approx(1 / r, rel=0.05)
        assert lengths.count(1) / len(lengths) == pytest.approx(r, rel=0.1)
        gaps = [len(list(group)) for is_lost, group in itertools.groupby(seen) if not is_lost]
        assert statistics.fmean(gaps) == pytest.approx(1 / p, rel=0.05)


@pytest.mark.parametrize("distribution", ["normal", "uniform", "pareto"])
def test_a_distribution_has_the_mean_0_and_the_deviation_1(distribution: str) -> None:
    steps = 200_000
    values = [standardised((place + 0.5) / steps, distribution) for place in range(steps)]
    assert values == sorted(values)
    assert statistics.fmean(values) == pytest.approx(0, abs=0.01)
    assert statistics.pstdev(values) == pytest.approx(1, rel=0.05 if distribution == "pareto" else 0.001)


@pytest.mark.parametrize("distribution", ["normal", "uniform", "pareto"])
@pytest.mark.parametrize("draw", [0.0, math.nextafter(1.0, 0)])
def test_no_draw_is_without_a_value(distribution: str, draw: float) -> None:
    assert math.isfinite(standardised(draw, distribution))


def test_quantiles_are_those_of_the_books() -> None:
    assert standardised(0.975, "normal") == pytest.approx(1.959964, abs=1e-6)
    assert standardised(0.75, "uniform") == pytest.approx(math.sqrt(3) / 2)
    # Pareto with shape 3 from 1 on: median 2**(1/3), mean 3/2, variance 3/4.
    assert standardised(0.5, "pareto") == pytest.approx((2 ** (1 / 3) - 1.5) / math.sqrt(0.75))


def test_jitter_of_a_way_has_the_deviation_that_is_asked_for() -> None:
    for distribution in ("normal", "uniform"):
        figures = WayFigures(delay_ns=20_000_000, jitter_ns=3_000_000, distribution=distribution)
        times = [one[0] for one in cast(Sequence[Sequence[int]], fared(figures, 5000))]
        assert statistics.fmean(times) == pytest.approx(20_000_000, rel=0.01)
        assert statistics.pstdev(times) == pytest.approx(3_000_000, rel=0.03)
