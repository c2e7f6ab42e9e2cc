"""What a link must show is arithmetic, and chance has its share."""

from __future__ import annotations

import math
import random
import statistics
from dataclasses import replace
from itertools import accumulate, islice
from pathlib import Path
from typing import get_args

import pytest

from testbed.network.endpoint import Endpoint
from testbed.network.link_process.fates import Fates, Way, WayFigures, standardised
from testbed.network.measure.loss import NOT_TOLD_FROM_NONE, UNTOLD, Counting, Tally, copies_by_seed, planned
from testbed.network.measure.paths import LinkPath
from testbed.network.measure.rate import rate_groups, unlimited
from testbed.network.measure.times import JITTERS_APART, ping_interval_s
from testbed.network.measure.traffic import UdpPath
from testbed.network.measure.trains import internet_checksum
from testbed.scenario.expected import (
    CHANCE,
    along_files,
    delayed,
    held,
    jitter_bounds,
    jitter_quantile,
    one_way_ms,
    rate_bounds,
    rate_window_s,
    round_trip_ms,
    serialisation_ms,
    spread_expected_ms,
    spread_ms,
    tells_reordered,
    time_bounds,
)
from testbed.scenario.reports import Finding
from testbed.scenario.topology import JitterDistribution, Shape


def path(name: str, up_bps: int | None, down_bps: int | None) -> LinkPath:
    nowhere = Endpoint("/proc/self/ns/net", "10.77.0.1")
    return LinkPath(name, Shape(up_bps), Shape(down_bps), nowhere, nowhere, counters=dict, counts=dict)


def test_a_full_frame_at_one_megabit_takes_12_ms() -> None:
    assert serialisation_ms(1514, 1_000_000) == pytest.approx(12.112)
    assert serialisation_ms(1514, None) == 0


def test_a_round_trip_is_both_delays_and_both_serialisations() -> None:
    up, down = Shape(1_000_000, delay_ms=20), Shape(10_000_000, delay_ms=5)
    assert round_trip_ms(up, down, 98) == pytest.approx(20 + 5 + 0.784 + 0.0784)


def test_times_may_differ_by_the_larger_of_2_percent_and_1_ms() -> None:
    assert time_bounds(10, 0, 50) == (9, 11)
    assert time_bounds(100, 0, 50) == (98, 102)
    assert time_bounds(0.1, 0, 50) == (0, 1.1)


def test_jitter_gives_the_median_room_that_more_samples_take_back() -> None:
    few, many = time_bounds(20, 3, 50), time_bounds(20, 3, 5000)
    assert few[1] > many[1] > 21


def test_a_median_with_jitter_stays_in_its_room() -> None:
    chance = random.Random(4)
    low, high = time_bounds(20, 3, 50)
    outside = sum(
        not low <= statistics.median(chance.gauss(20, 3) for _ in range(50)) <= high for _ in range(2000)
    )
    assert outside <= 2000 * CHANCE


def in_order(sent_ms: list[float], delay_ms: float, jitter_ms: float, chance: random.Random) -> list[float]:
    """When datagrams arrive over a way with jitter that lets none overtake another."""
    arriving = (at_ms + max(0.0, chance.gauss(delay_ms, jitter_ms)) for at_ms in sent_ms)
    return list(accumulate(arriving, max))


@pytest.mark.parametrize(("delay_ms", "jitter_ms"), [(15, 5), (50, 20), (100, 30)])
def test_pings_are_far_enough_apart_that_keeping_the_order_does_not_lift_their_median(
    delay_ms: float, jitter_ms: float
) -> None:
    shape = Shape(None, delay_ms=delay_ms, jitter_ms=jitter_ms)
    shaky = replace(path("a", None, None), up=shape, down=shape)
    chance = random.Random(6)
    for frame_bytes in (98, 1514):
        sent_ms = [number * 1000 * ping_interval_s(shaky, frame_bytes) for number in range(100)]
        low, high = time_bounds(2 * delay_ms, shaky.jitter_ms, 100)
        outside = 0
        for _ in range(300):
            back_ms = in_order(in_order(sent_ms, delay_ms, jitter_ms, chance), delay_ms, jitter_ms, chance)
            median = statistics.median(back - at for back, at in zip(back_ms, sent_ms, strict=True))
            outside += not low <= median <= high
        assert outside <= 2  # of 300, at 0.2 % each


def test_pings_of_a_still_link_are_a_fiftieth_of_a_second_apart_or_as_its_rate_allows() -> None:
    assert ping_interval_s(path("a", None, None), 98) == 0.02
    assert ping_interval_s(path("a", 1_000_000, 1_000_000), 1514) == pytest.approx(3 * 2 * 0.012112)


def test_measured_jitter_stays_in_its_room_and_half_of_it_does_not() -> None:
    chance = random.Random(5)

    def inside(jitter_ms: float) -> int:
        low, high = jitter_bounds(4, 200)
        spreads = (spread_ms([chance.gauss(30, jitter_ms) for _ in range(200)], 4) for _ in range(500))
        return sum(spread is not None and low <= spread <= high for spread in spreads)

    assert inside(4) >= 499
    assert inside(2) == 0


DISTRIBUTIONS: tuple[JitterDistribution, ...] = ("normal", "uniform", "pareto")


def jittered(shape: Shape, count: int, chance: random.Random) -> list[float]:
    """One-way times over a way, from frames far enough apart, by the link's own rules."""
    way = Way(
        WayFigures(
            round(shape.delay_ms * 1e6), round(shape.jitter_ms * 1e6), distribution=shape.jitter_distribution
        ),
        Fates(chance.random(), "any", "a", "up"),
    )
    sent_ns = [round(number * JITTERS_APART * shape.jitter_ms * 1e6) for number in range(count)]
    return [(way.enter(at_ns)[0] - at_ns) / 1e6 for at_ns in sent_ns]


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_each_distribution_shows_its_median_and_its_spread_and_no_other(
    distribution: JitterDistribution,
) -> None:
    shape = Shape(None, delay_ms=30, jitter_ms=5, jitter_distribution=distribution)
    chance = random.Random(8)
    median_off = spread_off = 0
    for _ in range(300):
        times_ms = jittered(shape, 100, chance)
        low, high = time_bounds(one_way_ms(shape, 60), 5, 100, distribution)
        median_off += not low <= statistics.median(times_ms) <= high
        least, most = jitter_bounds(spread_expected_ms(shape), 100, distribution)
        spread = spread_ms(times_ms, 5, distribution)
        spread_off += spread is None or not least <= spread <= most
    assert median_off <= 2  # of 300, at 0.2 % each
    assert spread_off <= 3  # a pareto's quartiles are a little skewed themselves
    wrong = replace(shape, jitter_ms=15)
    least, most = jitter_bounds(5, 100, distribution)
    spreads = [spread_ms(jittered(wrong, 100, chance), 5, distribution) for _ in range(100)]
    assert sum(spread is not None and least <= spread <= most for spread in spreads) <= 2


@pytest.mark.parametrize("other", DISTRIBUTIONS)
def test_a_round_trip_with_two_jitters_has_the_median_of_their_sum(other: JitterDistribution) -> None:
    up = Shape(None, delay_ms=30, jitter_ms=5, jitter_distribution="pareto")
    down = Shape(None, delay_ms=20, jitter_ms=4, jitter_distribution=other)
    chance = random.Random(9)
    ways = [jittered(shape, 20_000, chance) for shape in (up, down)]
    times_ms = [sum(both) for both in zip(*ways, strict=True)]
    assert round_trip_ms(up, down, 98) == pytest.approx(statistics.median(times_ms), abs=0.15)
    assert round_trip_ms(up, replace(down, jitter_ms=0), 98) == one_way_ms(up, 98) + 20


def test_a_paretos_median_is_below_its_mean() -> None:
    shape = Shape(1_000_000, delay_ms=20, jitter_ms=2, jitter_distribution="pareto")
    # (0.5^(-1/3) - 1.5) / sqrt(0.75) standard deviations, and 480 bits at 1 Mbit/s.
    assert one_way_ms(shape, 60) == pytest.approx(20 - 2 * 0.27724 + 0.48, abs=1e-4)


@pytest.mark.parametrize(("distribution", "seen_ms"), [("normal", 8.666), ("uniform", 8.953)])
def test_jitter_as_large_as_the_delay_spreads_less_for_nothing_arrives_before_it_is_sent(
    distribution: JitterDistribution, seen_ms: float
) -> None:
    near = Shape(None, delay_ms=10, jitter_ms=10, jitter_distribution=distribution)
    assert spread_expected_ms(near) == pytest.approx(seen_ms, rel=0.01)
    assert spread_expected_ms(replace(near, delay_ms=60)) == pytest.approx(10)


def test_a_few_frames_of_a_delay_file_may_have_another_median_than_all(tmp_path: Path) -> None:
    file = tmp_path / "slowly.delays"
    file.write_text("\n".join(str(10 + number / 50) for number in range(1001)))
    shape = Shape(None, delay_ms=20, delay_file=str(file))
    assert one_way_ms(shape, 60) == 20
    low, high = along_files(time_bounds(20, 0, 50), [shape], 50)
    assert 9 < low < 10
    assert 30 < high < 31
    assert along_files((19, 21), [Shape(None, delay_ms=20)], 50) == (19, 21)


def reordered(delay_ms: float, jitter_ms: float, reorder: float, chance: random.Random) -> list[float]:
    """One-way times where some frames go at once, and none of the others before the one ahead of it."""
    interval_ms = max(10, 4 * jitter_ms)
    times_ms, last_ms = [], 0.0
    for sent_ms in (number * interval_ms for number in range(100)):
        if chance.random() < reorder:
            times_ms.append(0.05)
            continue
        last_ms = max(sent_ms + max(0.0, chance.gauss(delay_ms, jitter_ms)), last_ms)
        times_ms.append(last_ms - sent_ms)
    return times_ms


@pytest.mark.parametrize(("delay_ms", "jitter_ms"), [(20, 2), (50, 5), (100, 5), (20, 0)])
@pytest.mark.parametrize("reorder", [0.02, 0.25, 0.6])
def test_frames_that_overtake_make_neither_delay_nor_jitter_look_wrong(
    delay_ms: float, jitter_ms: float, reorder: float
) -> None:
    chance = random.Random(6)

    def as_said(really_ms: float, jitter_really_ms: float) -> bool:
        all_ms = reordered(really_ms, jitter_really_ms, reorder, chance)
        times_ms = delayed(all_ms, delay_ms, delay_ms, jitter_ms)
        if len(times_ms) < 4:
            return False
        low, high = time_bounds(delay_ms, jitter_ms, len(times_ms))
        least, most = jitter_bounds(jitter_ms, len(times_ms))
        spread = spread_ms(times_ms, jitter_ms)
        return low <= statistics.median(times_ms) <= high and spread is not None and least <= spread <= most

    assert sum(as_said(delay_ms, jitter_ms) for _ in range(300)) >= 296
    assert sum(as_said(delay_ms * 0.5, jitter_ms) for _ in range(100)) == 0
    assert sum(as_said(delay_ms, 3 * jitter_ms + 3) for _ in range(100)) <= 1


def test_jitter_that_is_as_early_as_reordering_cannot_be_told_from_it() -> None:
    assert tells_reordered(20, 2)
    assert not tells_reordered(10, 2)
    assert delayed([0.1, 9.0, 10.0], 10, 10, 2) == [0.1, 9.0, 10.0]


def test_one_late_datagram_makes_no_jitter() -> None:
    times_ms = [10.0 + 0.01 * (n % 3) for n in range(49)] + [35.0]
    spread = spread_ms(times_ms, 0)
    assert spread is not None
    assert spread < 0.05


def test_a_rate_may_be_off_by_1_percent() -> None:
    assert rate_bounds(20_000_000) == (20e6 - 200_000, 20e6 + 200_000)


def test_a_sender_that_was_held_up_sends_no_more_at_once_than_a_short_queue_has_room_for() -> None:
    here = Endpoint("/proc/self/ns/net", "127.0.0.1")
    link = LinkPath("a", Shape(10**6, queue_frames=10), Shape(10**6), here, here, counters=dict, counts=dict)
    with UdpPath(here, here) as udp:
        counting = Counting(link, "up", udp, total=20, per_s=500)
        sent = []
        for elapsed_s in (0, 1.0, 1.001, 1.002, 1.004, 9.0, *range(10, 30)):
            counting.send_due(elapsed_s)
            sent.append(counting.sent)
    assert sent[:6] == [1, 3, 3, 4, 5, 7]
    assert sent[-1] == 20


def tally(shape: Shape, seen: list[int] | None = None, refused: int = 0) -> Tally:
    """Of 300 frames up a link that has ``shape``; with the seed's fates unless others are given."""
    due = list(islice(copies_by_seed(shape, 5, "any", "a", "up"), 300))
    return Tally(replace(path("a", None, None), up=shape), "up", seen or due, due, refused)


def test_losses_are_held_against_exactly_the_seeds() -> None:
    true = tally(Shape(None, loss=0.05))
    (finding,) = true.findings()
    assert finding.ok
    assert finding.low == finding.high == finding.measured == true.due.count(0) / 300
    moved = [*true.seen[1:], true.seen[0]]
    (finding,) = tally(Shape(None, loss=0.05), moved).findings()
    assert finding.ok is False
    assert finding.measured == finding.low  # as many, and not the same
    assert finding.note.endswith("of 300 frames fared otherwise than the seed has it")


def test_a_copy_too_many_is_no_loss_and_is_noticed() -> None:
    true = tally(Shape(None, loss=0.05))
    first = true.due.index(1)
    lost, doubled = tally(Shape(None, loss=0.05), [*true.due[:first], 2, *true.due[first + 1 :]]).findings()
    assert (lost.ok, doubled.ok) == (True, False)
    assert (doubled.configured, doubled.measured) == (0, 1 / 300)


def test_what_chance_or_a_full_queue_leaves_open_is_said() -> None:
    (rare,) = tally(Shape(None, loss=0.000001)).findings()
    assert (rare.ok, rare.note) == (True, NOT_TOLD_FROM_NONE)
    (full,) = tally(Shape(None), [0] + 299 * [1], refused=1).findings()
    assert full.ok is False
    assert "the queue refused 1 datagrams" in full.note
    (untold,) = replace(tally(Shape(None)), untold=True).findings()
    assert (untold.ok, untold.note) == (True, UNTOLD)


def test_datagrams_for_which_there_was_no_time_are_not_taken_for_shown() -> None:
    (few,) = replace(tally(Shape(None)), unsent=7).findings()
    assert few.ok is False
    assert few.note == "7 datagrams more were to be sent, and there was no time for them"


def test_losses_of_a_slow_link_are_counted_for_20_s_at_most_and_all_at_the_same_time() -> None:
    one = replace(path("a", None, None), up=Shape(20_000_000, loss=0.01), down=Shape(20_000, loss=0.01))
    assert planned(one, "up", 1000, 0.75) == (1000, 750)
    total, per_s = planned(one, "down", 1000, 0.75)
    assert total / per_s == pytest.approx(20, rel=0.02)
    assert planned(path("b", None, None), "up", 300, 0.15) == (300, 45)
    assert planned(path("b", None, None), "up", 250, 0.01) == (250, 2.5)  # many links: all frames that tell


def test_rates_are_measured_together_as_far_as_the_host_can_carry_them() -> None:
    paths = [path("a", 20, 20), path("b", 100, 100), path("c", None, 150)]
    groups = rate_groups(paths, budget_bps=130, least_s=2)
    named = [[(one.name, direction) for one, direction in group] for group in groups]
    assert named == [[("c", "down")], [("b", "up"), ("a", "up")], [("b", "down"), ("a", "down")]]


def test_slow_rates_are_watched_for_longer_and_by_themselves() -> None:
    assert rate_window_s(20_000_000, 0.2) == 0.2
    assert rate_window_s(100_000, 0.2) == pytest.approx(2.4224)
    assert rate_window_s(8_000, 0.2) == 20
    (fast, slow) = rate_groups([path("a", 20_000_000, 100_000), path("b", 64_000, 5_000_000)], 130e6, 0.2)
    assert [one.name for one, _ in fast] == ["a", "b"]
    assert [one.shape(direction).rate_bps for one, direction in slow] == [100_000, 64_000]


def test_a_rate_that_is_unlimited_is_neither_right_nor_wrong() -> None:
    (finding,) = unlimited([path("a", None, 20)])
    assert finding.ok is None
    assert str(finding) == "a (up): rate not measured, it is unlimited"


def test_a_finding_says_what_was_expected() -> None:
    finding = held("device1-edge1", "up", "rate", "bit/s", 1e6, 9e5, (9.9e5, 1.01e6), 150)
    assert finding.ok is False
    assert str(finding) == "device1-edge1 (up): rate 900000 bit/s, expected 990000 to 1.01e+06"


def test_what_was_not_measured_is_not_as_configured() -> None:
    finding: Finding = held("a-b", "both", "round trip", "ms", 20, None, (19, 21), 0, "3 of 50 came back")
    assert finding.ok is False
    assert str(finding) == "a-b: round trip not measured, 3 of 50 came back"


def test_the_checksum_is_the_internets() -> None:
    assert internet_checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D  # RFC 1071, section 3


@pytest.mark.parametrize("distribution", get_args(JitterDistribution))
def test_the_link_process_draws_jitter_of_the_expected_distribution(
    distribution: JitterDistribution,
) -> None:
    for number in range(1, 1000):
        drawn = standardised(number / 1000, distribution)
        assert math.isclose(jitter_quantile(number / 1000, distribution), drawn, abs_tol=1e-12)
