"""One direction of a link in virtual time, to the nanosecond: no socket, no clock, no root."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field, replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.network.link_process.core import (
    ETHERNET_HEADER_BYTES,
    NS_PER_MS,
    Figures,
    OneWayLink,
    Opportunities,
)
from testbed.network.link_process.fates import Fates, WayFigures

FULL_BYTES = 1514
A_BYTE_EACH_US = 8_000_000
"""A rate at which every frame takes whole nanoseconds: 1,000 a byte."""


def frame(number: int, length: int = FULL_BYTES) -> bytes:
    return number.to_bytes(4, "big").ljust(length, b"x")


def number(one: bytes) -> int:
    return int.from_bytes(one[:4], "big")


@dataclass
class Bench:
    """A direction, and when which frame was put on its wire and handed on."""

    figures: Figures
    wire: list[tuple[int, int]] = field(default_factory=list)
    out: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.link = OneWayLink(
            self.figures,
            Fates(1, "method", "link", "up"),
            lambda at_ns, one: self.wire.append((at_ns, number(one))),
            lambda at_ns, one: self.out.append((at_ns, number(one))),
        )

    def counts(self) -> tuple[int, ...]:
        link = self.link
        return (
            link.came_in_frames,
            link.refused_frames,
            link.crossed_frames,
            link.crossed_bytes,
            link.cut_frames,
            link.handed_on_frames,
            link.way.lost_frames,
            link.way.duplicated_frames,
        )

    def check_identities(self) -> None:
        link, way = self.link, self.link.way
        assert link.came_in_frames == link.refused_frames + link.crossed_frames + link.waiting_frames
        on = link.crossed_frames - way.lost_frames - link.cut_frames + way.duplicated_frames
        assert link.handed_on_frames == on - link.held_frames
        assert (link.crossed_frames, link.handed_on_frames) == (len(self.wire), len(self.out))
        assert (link.waiting_bytes == 0) == (link.waiting_frames == 0)


def bench(rate_bps: int | None = None, queue_frames: int = 100, **way: object) -> Bench:
    return Bench(Figures(rate_bps, queue_frames, way=WayFigures(**way)))  # type: ignore[arg-type]


def test_a_lone_frame_takes_its_bits_by_the_rate_and_then_the_delay() -> None:
    one = bench(1_000_000, delay_ns=20 * NS_PER_MS)
    one.link.arrive(1000, frame(7))
    assert one.link.next_ns == 1000 + 12_112_000
    one.link.play(10**9)
    assert one.wire == [(1000 + 12_112_000, 7)]
    assert one.out == [(1000 + 12_112_000 + 20 * NS_PER_MS, 7)]
    assert one.link.next_ns is None


def test_without_a_rate_and_a_delay_a_frame_is_handed_on_at_once() -> None:
    one = bench()
    one.link.arrive(5, frame(1))
    one.link.arrive(5, frame(2))
    assert one.wire == one.out == [(5, 1), (5, 2)]
    assert one.link.most_waiting_frames == 1


@pytest.mark.parametrize("rate_bps", [1_000_003, 7_777_777, 299_999_999, 10_000_000_019])
def test_a_busy_period_of_a_hundred_thousand_frames_drifts_by_nothing(rate_bps: int) -> None:
    one = bench(rate_bps, queue_frames=100_000)
    lengths = [60 + (place * 7919) % 1455 for place in range(100_000)]
    for place, length in enumerate(lengths):
        one.link.arrive(17, frame(place, length))
    one.link.play(10**18)
    sums = itertools.accumulate(lengths)
    assert [at_ns for at_ns, _ in one.wire] == [17 + 8 * 10**9 * total // rate_bps for total in sums]
    assert [place for _, place in one.wire] == list(range(100_000))


@pytest.mark.parametrize("queue_frames", [1, 2, 50])
def test_a_queue_of_q_frames_holds_the_one_being_serialised_and_refuses_the_next(queue_frames: int) -> None:
    one = bench(A_BYTE_EACH_US, queue_frames)
    for place in range(queue_frames + 3):
        one.link.arrive(0, frame(place, 100))
    assert (one.link.waiting_frames, one.link.refused_frames) == (queue_frames, 3)
    assert (one.link.most_waiting_frames, one.link.most_waiting_bytes) == (queue_frames, 100 * queue_frames)
    one.link.arrive(99_999, frame(99, 100))  # a nanosecond before the head leaves
    assert one.link.refused_frames == 4
    one.link.arrive(100_000, frame(100, 100))
    assert one.link.refused_frames == 4
    one.link.play(10**12)
    assert [place for _, place in one.wire] == [*range(queue_frames), 100]


@given(
    st.lists(st.tuples(st.integers(0, 3_000_000), st.integers(60, FULL_BYTES)), max_size=80),
    st.integers(1, 6),
)
def test_departures_and_refusals_are_those_on_paper(
    arrivals: list[tuple[int, int]], queue_frames: int
) -> None:
    one, at_ns, free_ns, refused = bench(A_BYTE_EACH_US, queue_frames), 0, 0, 0
    left: list[tuple[int, int]] = []
    for place, (gap_ns, length) in enumerate(arrivals):
        at_ns += gap_ns
        one.link.arrive(at_ns, frame(place, length))
        if sum(leaves_ns > at_ns for leaves_ns, _ in left) >= queue_frames:
            refused += 1
            continue
        free_ns = max(at_ns, free_ns) + 1000 * length
        left.append((free_ns, place))
    one.link.play(10**12)
    assert one.wire == one.out == left
    assert one.link.refused_frames == refused


@given(
    st.lists(st.tuples(st.integers(0, 10**7), st.integers(60, FULL_BYTES)), max_size=60),
    st.integers(1000, 10**10),
)
def test_at_any_rate_no_frame_leaves_early_by_a_nanosecond_or_late_by_more(
    arrivals: list[tuple[int, int]], rate_bps: int
) -> None:
    one, at_ns, free_ns = bench(rate_bps), 0, Fraction(0)
    left = []
    for place, (gap_ns, length) in enumerate(arrivals):
        at_ns += gap_ns
        one.link.arrive(at_ns, frame(place, length))
        free_ns = max(Fraction(at_ns), free_ns) + Fraction(8 * 10**9 * length, rate_bps)
        left.append(free_ns)
    one.link.play(10**15)
    for (seen_ns, _), paper_ns in zip(one.wire, left, strict=True):
        assert -len(arrivals) <= seen_ns - paper_ns <= 0  # whole ones: a busy period that ends keeps no rest


def test_a_stamp_before_the_last_event_is_taken_as_that_one() -> None:
    one = bench(A_BYTE_EACH_US, queue_frames=1)
    one.link.arrive(0, frame(0, 100))
    one.link.play(100_000)
    one.link.arrive(99_000, frame(1, 100))  # another CPU's, stamped before the first one left
    assert one.link.refused_frames == 0
    one.link.play(10**9)
    assert one.wire == [(100_000, 0), (200_000, 1)]


def test_a_rate_reaches_frames_that_wait_and_the_head_keeps_its_moment() -> None:
    one = bench(A_BYTE_EACH_US)
    for place in range(3):
        one.link.arrive(0, frame(place, 1000))
    one.link.change(400_000, Figures(10 * A_BYTE_EACH_US))
    one.link.play(10**12)
    assert one.wire == [(1_000_000, 0), (1_100_000, 1), (1_200_000, 2)]


def test_a_rate_that_falls_begins_with_nothing_of_the_faster_ones_rest() -> None:
    one = bench(9_999_999_967)
    for place in range(2):
        one.link.arrive(0, frame(place, 1000))
    one.link.change(0, Figures(8000))
    one.link.play(10**12)
    assert one.wire == [(800, 0), (800 + 10**9, 1)]


def test_an_unlimited_rate_lets_all_that_wait_go_when_the_head_has_left() -> None:
    one = bench(A_BYTE_EACH_US)
    for place in range(4):
        one.link.arrive(0, frame(place, 1000))
    one.link.change(1, Figures(None))
    one.link.play(10**12)
    assert one.wire == [(1_000_000, place) for place in range(4)]


def test_a_shorter_queue_throws_away_no_frame_that_waits_and_a_longer_one_takes_more() -> None:
    one = bench(A_BYTE_EACH_US, queue_frames=3)
    for place in range(4):
        one.link.arrive(0, frame(place, 100))
    one.link.change(1, Figures(A_BYTE_EACH_US, 1))
    one.link.arrive(2, frame(4, 100))
    assert (one.link.waiting_frames, one.link.refused_frames) == (3, 2)
    one.link.change(3, Figures(A_BYTE_EACH_US, 4))
    one.link.arrive(4, frame(5, 100))
    one.link.play(10**9)
    assert [place for _, place in one.wire] == [0, 1, 2, 5]


def test_a_delay_reaches_frames_that_wait_and_never_lets_one_overtake_another() -> None:
    one = bench(A_BYTE_EACH_US, delay_ns=10_000_000)
    for place in range(3):
        one.link.arrive(0, frame(place, 1000))
    one.link.change(1_500_000, Figures(A_BYTE_EACH_US, way=WayFigures(delay_ns=500_000)))
    one.link.play(19_000_000)
    assert one.out == [(11_000_000, 0), (11_000_000, 1), (11_000_000, 2)]
    one.link.arrive(20_000_000, frame(3, 1000))
    one.link.play(10**12)
    assert one.out[-1] == (21_500_000, 3)


def test_a_link_that_is_cut_loses_behind_the_wire_and_what_is_on_its_way_arrives() -> None:
    one = bench(A_BYTE_EACH_US, delay_ns=5_000_000)
    for place in range(3):
        one.link.arrive(0, frame(place, 1000))
    one.link.play(1_500_000)
    one.link.is_cut = True
    one.link.play(2_500_000)
    one.link.is_cut = False
    one.link.play(10**12)
    assert [place for _, place in one.wire] == [0, 1, 2]
    assert one.out == [(6_000_000, 0), (8_000_000, 2)]
    assert (one.link.cut_frames, one.link.way.lost_frames) == (1, 0)
    one.check_identities()


def test_frames_of_a_cut_link_take_their_fates_too() -> None:
    def lost(cut: range) -> list[int]:
        one = bench(loss=0.3)
        for place in range(400):
            one.link.is_cut = place in cut
            one.link.arrive(place, frame(place))
        one.check_identities()
        assert one.link.cut_frames == len(cut)
        return sorted(set(range(400)) - {place for _, place in one.out} - set(cut))

    whole = lost(range(0))
    assert lost(range(100, 200)) == [place for place in whole if place not in range(100, 200)]


def test_jitter_spreads_the_delay_and_keeps_the_order() -> None:
    one = bench(delay_ns=20_000_000, jitter_ns=3_000_000)
    for place in range(2000):
        one.link.arrive(place * 500_000, frame(place))
    one.link.play(10**12)
    assert [place for _, place in one.out] == list(range(2000))
    delays_ns = [at_ns - 500_000 * place for at_ns, place in one.out]
    assert len(set(delays_ns)) > 300
    assert min(delays_ns) > 10_000_000


def test_a_reordered_frame_is_sent_without_the_delay_and_holds_nobody_back() -> None:
    one = bench(delay_ns=10_000_000, reorder=0.25)
    for place in range(1000):
        one.link.arrive(place * 1_000_000, frame(place))
    one.link.play(10**12)
    delays_ns = Counter(at_ns - 1_000_000 * place for at_ns, place in one.out)
    assert set(delays_ns) == {0, 10_000_000}
    assert delays_ns[0] == pytest.approx(250, abs=4 * (1000 * 0.25 * 0.75) ** 0.5)


def test_second_copies_are_made_on_the_way_and_counted() -> None:
    one = bench(delay_ns=1_000_000, duplicate=0.2)
    for place in range(2000):
        one.link.arrive(place, frame(place))
    one.link.play(10**12)
    one.check_identities()
    assert len(one.wire) == 2000
    times = Counter(place for _, place in one.out)
    assert set(times.values()) == {1, 2}
    assert one.link.way.duplicated_frames == sum(count == 2 for count in times.values())
    assert one.link.way.duplicated_frames == pytest.approx(400, abs=4 * (2000 * 0.2 * 0.8) ** 0.5)
    at_ns = {place: at for at, place in one.out}
    assert all(at_ns[place] - place == 1_000_000 for place in range(2000))  # without jitter both at once


def test_a_file_of_delays_goes_by_the_frames_number_and_begins_anew_with_each_method() -> None:
    one = bench(delays_ns=[5_000, 0, 70_000])
    for place in range(4):
        one.link.arrive(place * 10**6, frame(place))
    one.link.play(10**9)
    one.link.begin(Fates(1, "other", "link", "up"))
    one.link.arrive(2 * 10**9, frame(4))
    one.link.play(10**12)
    assert [at_ns % 10**6 for at_ns, _ in one.out] == [5_000, 0, 70_000, 5_000, 5_000]


def test_a_method_that_begins_counts_the_fullest_queue_anew_and_nothing_else() -> None:
    one = bench(A_BYTE_EACH_US)
    for place in range(5):
        one.link.arrive(0, frame(place, 100))
    one.link.play(350_000)
    before = one.counts()
    one.link.begin(Fates(1, "other", "link", "up"))
    assert one.counts() == before
    assert (one.link.most_waiting_frames, one.link.most_waiting_bytes) == (2, 200)


class TestOpportunities:
    """A rate file's delivery opportunities, against a few lines that play mahimahi's rules on paper."""

    @staticmethod
    def on_paper(times_ms: list[int], arrivals: list[tuple[int, int]], end_ns: int) -> list[tuple[int, int]]:
        """Departures, by number: every opportunity in turn takes 1,500 bytes of what is there by then."""
        waiting = [
            (at_ns, place, length - ETHERNET_HEADER_BYTES) for place, (at_ns, length) in enumerate(arrivals)
        ]
        left: list[tuple[int, int]] = []
        for turn in itertools.count():
            for time_ms in times_ms:
                now_ns = (turn * times_ms[-1] + time_ms) * NS_PER_MS
                if now_ns > end_ns:
                    return left
                budget = 1500
                while waiting and waiting[0][0] < now_ns and budget > 0:
                    at_ns, place, size = waiting.pop(0)
                    if size > budget:
                        waiting.insert(0, (at_ns, place, size - budget))
                        break
                    budget -= size
                    left.append((now_ns, place))
        raise AssertionError

    @given(
        st.lists(st.integers(0, 40), min_size=1, max_size=20).map(sorted).filter(lambda ms: ms[-1] > 0),
        st.lists(st.tuples(st.integers(0, 20_000), st.integers(60, FULL_BYTES)), max_size=40),
    )
    def test_frames_leave_at_the_opportunities_that_mahimahi_would_use(
        self, times_ms: list[int], gaps: list[tuple[int, int]]
    ) -> None:
        times_ns = itertools.accumulate(1 + gap_us * 1000 for gap_us, _ in gaps)
        arrivals = [(at_ns, length) for at_ns, (_, length) in zip(times_ns, gaps, strict=True)]
        one = Bench(Figures(None, 1000, opportunities=Opportunities(times_ms, 0)))
        for place, (at_ns, length) in enumerate(arrivals):
            one.link.arrive(at_ns, frame(place, length))
        end_ns = 3000 * NS_PER_MS
        one.link.play(end_ns)
        assert one.wire == self.on_paper(times_ms, arrivals, end_ns)
        assert one.link.waiting_frames == len(arrivals) - len(one.wire)

    @given(
        st.lists(st.integers(0, 9), min_size=1, max_size=8).map(sorted).filter(lambda ms: ms[-1] > 0),
        st.integers(-5, 60),
        st.integers(-1, 1),
    )
    def test_the_first_one_after_a_moment_comes_later_and_none_between(
        self, times_ms: list[int], at_ms: int, more_ns: int
    ) -> None:
        file, at_ns = Opportunities(times_ms, 7), 7 + at_ms * NS_PER_MS + more_ns
        found = file.first_after(at_ns)
        assert file.at(found) > at_ns
        assert found == 0 or file.at(found - 1) <= at_ns

    def test_a_saturating_flow_leaves_at_the_files_times_to_the_frame(self) -> None:
        times_ms = [1, 1, 2, 5, 9, 9, 9, 20]
        one = Bench(Figures(None, 1000, opportunities=Opportunities(times_ms, 0)))
        for place in range(80):
            one.link.arrive(0, frame(place))
        one.link.play(10**12)
        expected = [turn * 20 + time_ms for turn in range(10) for time_ms in times_ms]
        assert [at_ns for at_ns, _ in one.wire] == [time_ms * NS_PER_MS for time_ms in expected]

    def test_a_file_reaches_the_frames_that_wait_and_so_does_the_rate_after_it(self) -> None:
        one = bench(8000)  # a full frame takes a second and a half
        for place in range(4):
            one.link.arrive(0, frame(place))
        file = Opportunities([10], 2 * NS_PER_MS)
        one.link.change(2 * NS_PER_MS, Figures(8000, opportunities=file))
        one.link.play(25 * NS_PER_MS)
        assert one.wire == [(12 * NS_PER_MS, 0), (22 * NS_PER_MS, 1)]
        one.link.change(25 * NS_PER_MS, Figures(A_BYTE_EACH_US))
        one.link.play(10**12)
        assert one.wire[2:] == [(26_514_000, 2), (28_028_000, 3)]

    def test_another_figure_leaves_a_file_that_is_followed_where_it_is(self) -> None:
        file = Opportunities([10], 0)
        one = Bench(Figures(None, opportunities=file))
        for place in range(3):
            one.link.arrive(1, frame(place, 60 if place == 0 else FULL_BYTES))
        one.link.play(10 * NS_PER_MS)
        one.link.change(15 * NS_PER_MS, Figures(None, opportunities=file, way=WayFigures(delay_ns=1)))
        one.link.play(10**12)
        assert one.wire == [(10 * NS_PER_MS, 0), (20 * NS_PER_MS, 1), (30 * NS_PER_MS, 2)]


FIGURES = st.builds(
    Figures,
    rate_bps=st.one_of(st.none(), st.integers(1000, 10**9)),
    queue_frames=st.integers(1, 20),
    opportunities=st.one_of(st.none(), st.just(Opportunities([1, 1, 2, 4], 0))),
    way=st.builds(
        WayFigures,
        delay_ns=st.integers(0, 3_000_000),
        jitter_ns=st.sampled_from([0, 0, 400_000]),
        distribution=st.sampled_from(["normal", "uniform", "pareto"]),
        loss=st.sampled_from([0.0, 0.3]),
        bursts=st.sampled_from([None, (0.2, 0.5, 1.0, 0.1)]),
        duplicate=st.sampled_from([0.0, 0.3]),
        reorder=st.sampled_from([0.0, 0.3]),
        delays_ns=st.sampled_from([None, [5, 100_000, 2_000_000]]),
    ),
)
STEPS = st.lists(
    st.tuples(
        st.integers(0, 400_000),
        st.one_of(st.integers(60, FULL_BYTES), st.integers(60, FULL_BYTES), st.just("cut"), FIGURES),
    ),
    max_size=60,
)


def take(one: Bench, at_ns: int, place: int, step: object) -> None:
    if isinstance(step, int):
        one.link.arrive(at_ns, frame(place, step))
    elif isinstance(step, Figures):
        one.link.change(at_ns, step)
    else:
        one.link.play(at_ns)
        one.link.is_cut = not one.link.is_cut


@given(FIGURES, STEPS)
def test_what_comes_in_and_goes_out_adds_up_at_each_moment(
    figures: Figures, steps: list[tuple[int, object]]
) -> None:
    one, at_ns = Bench(figures), 0
    for place, (gap_ns, step) in enumerate(steps):
        at_ns += gap_ns
        take(one, at_ns, place, step)
        one.check_identities()
        assert one.link.next_ns is None or one.link.next_ns >= at_ns
    one.link.play(10**15)
    one.check_identities()
    assert (one.link.waiting_frames, one.link.held_frames, one.link.next_ns) == (0, 0, None)
    for acts in (one.wire, one.out):
        times_ns = [at_ns for at_ns, _ in acts]
        assert times_ns == sorted(times_ns)
    assert [place for _, place in one.wire] == sorted(place for _, place in one.wire)


@given(FIGURES, STEPS)
def test_being_late_changes_nothing(figures: Figures, steps: list[tuple[int, object]]) -> None:
    """Once everything is played when it is due; once what came in is learnt of at the end."""
    punctual, late, at_ns = Bench(figures), Bench(figures), 0
    for place, (gap_ns, step) in enumerate(steps):
        at_ns += gap_ns
        while punctual.link.next_ns is not None and punctual.link.next_ns < at_ns:
            punctual.link.play(punctual.link.next_ns)
        take(punctual, at_ns, place, step)
        take(late, at_ns, place, step)
    punctual.link.play(10**15)
    late.link.play(10**15)
    assert (punctual.wire, punctual.out, punctual.counts()) == (late.wire, late.out, late.counts())


@given(st.lists(st.tuples(st.integers(0, 200_000), st.integers(60, FULL_BYTES)), max_size=60))
def test_a_figure_that_changes_to_what_it_was_changes_nothing(arrivals: list[tuple[int, int]]) -> None:
    figures = Figures(7_000_003, 9, way=WayFigures(delay_ns=1_234, jitter_ns=50_000, loss=0.1))
    still, moved, at_ns = Bench(figures), Bench(figures), 0
    for place, (gap_ns, length) in enumerate(arrivals):
        at_ns += gap_ns
        for one in (still, moved):
            one.link.arrive(at_ns, frame(place, length))
        moved.link.change(at_ns, replace(figures))
    for one in (still, moved):
        one.link.play(10**15)
    assert (still.wire, still.out) == (moved.wire, moved.out)
