"""Counts of a link's capture, the link process and the kernel are compared; every difference is reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from testbed.network.kernel.counters import Counters
from testbed.network.readings import DirectionReading, LinkCounts
from testbed.orchestrator.rows.links import (
    Reading,
    Reconciled,
    backlogs,
    contradictions,
    frames_between,
    reconcile,
)
from testbed.results.columns import RequestRow
from testbed.results.evidence import BacklogReport, Evidence
from testbed.results.fidelity import judge
from testbed.scenario.topology import DIRECTIONS, Direction, Link, Shape, Topology
from testbed.wire.account import account
from testbed.wire.capture import CaptureReport
from tests.wire.crafted import ENDS, Connection, answer, request, write

LINK = "device1-edge1"
NONE = LinkCounts(**dict.fromkeys((count.name for count in fields(LinkCounts)), 0))
EMPTY = DirectionReading(Counters(0, 0), Counters(0, 0), Counters(0, 0), NONE, dropped_frames=0)


def carried(frames: int, frame_bytes: int, **counts: int) -> DirectionReading:
    """A direction on whose wire so much crossed, with ``counts`` of what else became of frames."""
    made = replace(NONE, crossed_frames=frames, crossed_bytes=frame_bytes, **counts)
    came_in = frames + made.refused_frames + made.waiting_frames
    gone = made.lost_frames + made.cut_frames + made.held_frames
    handed_on = frames - gone + made.duplicated_frames
    made = replace(made, came_in_frames=came_in, handed_on_frames=handed_on)
    return DirectionReading(
        wire=Counters(frames, frame_bytes),
        port_in=Counters(came_in, 100 * came_in),
        port_out=Counters(handed_on, 100 * handed_on),
        process=made,
        dropped_frames=0,
    )


def changed(reading: DirectionReading, **counts: int) -> DirectionReading:
    return replace(reading, process=replace(reading.process, **counts))


ALL_THAT_MAY_HAPPEN = carried(
    815, 90_000, refused_frames=40, lost_frames=12, cut_frames=3, duplicated_frames=7, held_frames=2,
    waiting_frames=1,
)  # fmt: skip


NULLS: dict[str, Any] = dict.fromkeys(column.name for column in fields(RequestRow))
ASKED = RequestRow(**NULLS | {"hops": [LINK], "hop_prompt_bytes": [1], "hop_answer_bytes": [1]})
"""The request of :func:`exchanged`, as far as its bytes go."""


def exchanged(
    folder: Path,
    *,
    more_bytes: int = 0,
    changes: Mapping[Direction, Mapping[str, Any]] | None = None,
    report: CaptureReport | None = None,
    quiet: bool = True,
    requests: Sequence[RequestRow] = (ASKED,),
) -> Reconciled:
    """Reconcile one exchange.

    Args:
        more_bytes: how many more the kernel and the link process counted up than the capture has.
        changes: by direction, of its reading at the end, ``process`` counts included.
    """
    connection = Connection()
    connection.send(True, request("p").wire)
    connection.send(False, answer("r").wire)
    captured = account(write(folder / "a.pcap", connection.frames), ENDS)
    end: dict[Direction, DirectionReading] = {}
    for direction in DIRECTIONS:
        parts = captured.parts(direction)
        more = more_bytes if direction == "up" else 0
        given = dict((changes or {}).get(direction, {}))
        dropped = given.pop("dropped_frames", 0)
        reading = carried(parts.frames, parts.accounted_bytes + more, **given)
        end[direction] = replace(reading, dropped_frames=dropped)
    before = Reading({LINK: dict.fromkeys(DIRECTIONS, EMPTY)}, quiet=True)
    reports = {LINK: report} if report else {}
    return reconcile("recserve", before, Reading({LINK: end}, quiet), {LINK: captured}, reports, requests)


def against_bytes(reconciled: Reconciled) -> tuple[str, ...]:
    return judge(Evidence(accounts=reconciled.accounts, link_process={})).reasons["bytes"]


def test_a_sound_exchange_is_accounted_for_both_ways(tmp_path: Path) -> None:
    reconciled = exchanged(tmp_path)
    assert against_bytes(reconciled) == ()
    assert [(row.prompt_bytes, row.answer_bytes) for row in reconciled.rows] == [(1, 0), (0, 1)]


def test_text_of_no_request_stands_in_row_and_account(tmp_path: Path) -> None:
    reconciled = exchanged(tmp_path, requests=())
    assert [row.unattributed_bytes for row in reconciled.rows] == [1, 1]
    assert [account.unattributed_bytes for account in reconciled.accounts] == [1, 1]


def test_bytes_that_the_capture_has_not_are_not_accounted_for(tmp_path: Path) -> None:
    (reason,) = against_bytes(exchanged(tmp_path, more_bytes=66))
    assert "66 of" in reason


def test_a_row_says_what_became_of_frames(tmp_path: Path) -> None:
    became = {
        "refused_frames": 4, "lost_frames": 2, "cut_frames": 1, "duplicated_frames": 3, "held_frames": 1,
    }  # fmt: skip
    reconciled = exchanged(tmp_path, changes={"up": became})
    assert against_bytes(reconciled) == ()
    up, down = reconciled.rows
    columns = (
        "queue_dropped_frames", "lost_frames", "down_lost_frames", "duplicated_frames", "held_frames",
    )  # fmt: skip
    assert [getattr(up, name) for name in columns] == [4, 2, 1, 3, 1]
    assert [getattr(down, name) for name in columns] == [0] * 5


def test_rows_are_of_a_method_alone(tmp_path: Path) -> None:
    captured = account(write(tmp_path / "a.pcap", Connection().frames), ENDS)
    earlier, later = (
        carried(100, 9_000, lost_frames=5),
        carried(100 + captured.up.frames, 9_000, lost_frames=8),
    )
    before, after = (
        Reading({LINK: dict.fromkeys(DIRECTIONS, reading)}, quiet=True) for reading in (earlier, later)
    )
    up, _ = reconcile("recserve", before, after, {LINK: captured}, {}, []).rows
    assert (up.frames, up.lost_frames) == (captured.up.frames, 3)
    assert frames_between(before, after, LINK) == 2 * captured.up.frames


def test_counts_that_add_up_contradict_nothing() -> None:
    assert list(contradictions(ALL_THAT_MAY_HAPPEN)) == []


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        (
            replace(ALL_THAT_MAY_HAPPEN, port_in=Counters(859, 0)),
            "the link process took 856 of 859 frames that its port had received",
        ),
        (
            changed(ALL_THAT_MAY_HAPPEN, refused_frames=38),
            "of 856 frames that the link process took, 854 were refused, crossed or wait",
        ),
        (
            replace(ALL_THAT_MAY_HAPPEN, wire=Counters(814, 90_000)),
            "the link process put 815 frames on the wire, and the kernel counted 814",
        ),
        (
            replace(ALL_THAT_MAY_HAPPEN, wire=Counters(815, 90_060)),
            "the link process put 90000 bytes on the wire, and the kernel counted 90060",
        ),
        (
            changed(ALL_THAT_MAY_HAPPEN, lost_frames=13),
            "804 frames crossed and were not lost, and the link process handed on 805",
        ),
        (
            replace(ALL_THAT_MAY_HAPPEN, port_out=Counters(804, 0)),
            "the link process handed on 805 frames, and the far port was given 804",
        ),
        (
            changed(ALL_THAT_MAY_HAPPEN, dropped_frames=2),
            "the link process says that it dropped 2 frames, and none is missing",
        ),
    ],
)
def test_each_sum_that_does_not_add_up_is_said_with_both_its_sides(
    reading: DirectionReading, words: str
) -> None:
    assert list(contradictions(reading)) == [words]


@pytest.mark.parametrize(
    "reading",
    [
        replace(ALL_THAT_MAY_HAPPEN, port_in=Counters(858, 0)),
        replace(ALL_THAT_MAY_HAPPEN, wire=Counters(813, 89_000)),
        replace(ALL_THAT_MAY_HAPPEN, port_out=Counters(803, 0)),
        replace(ALL_THAT_MAY_HAPPEN, port_in=Counters(857, 0), port_out=Counters(804, 0)),
    ],
)
def test_frames_that_the_process_says_it_dropped_may_be_missing_anywhere(reading: DirectionReading) -> None:
    assert list(contradictions(changed(reading, dropped_frames=2))) == []
    assert list(contradictions(changed(reading, dropped_frames=1))) != []


def test_a_frame_too_many_does_not_make_up_for_one_that_is_missing() -> None:
    reading = replace(ALL_THAT_MAY_HAPPEN, port_in=Counters(857, 0), port_out=Counters(806, 0))
    assert len(list(contradictions(reading))) == 2


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_contradiction_costs_the_verdict_on_bytes_by_link_and_direction(
    tmp_path: Path, direction: Direction
) -> None:
    account = next(account for account in exchanged(tmp_path).accounts if account.direction == direction)
    wrong = replace(account, contradictions=("the link process took 812 of 815 frames",))
    (reason,) = judge(Evidence(accounts=[wrong], link_process={})).reasons["bytes"]
    assert reason == f"recserve, {LINK} {direction}: the link process took 812 of 815 frames"


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_frames_that_the_kernel_dropped_cost_the_verdict_on_bytes_in_either_direction(
    tmp_path: Path, direction: Direction
) -> None:
    (reason,) = against_bytes(exchanged(tmp_path, changes={direction: {"dropped_frames": 7}}))
    assert reason.startswith(f"recserve, {LINK} {direction}: the kernel had no room for 7 frames")


def test_links_that_never_came_to_rest_are_told(tmp_path: Path) -> None:
    reasons = against_bytes(exchanged(tmp_path, quiet=False))
    assert len(reasons) == 2
    assert all("never came to rest" in reason for reason in reasons)


def test_frames_that_the_capture_lost_are_told_once_for_the_link(tmp_path: Path) -> None:
    reconciled = exchanged(tmp_path, report=CaptureReport(5, 500, dropped_by_kernel=3, faults=()))
    assert sum(account.capture_dropped_frames for account in reconciled.accounts) == 3
    (reason,) = against_bytes(reconciled)
    assert reason == f"recserve, {LINK}: the capture lost 3 frames"


def test_the_fullest_queues_are_the_link_process_s_word() -> None:
    fullest = changed(EMPTY, most_waiting_frames=18, most_waiting_bytes=27_000)
    after = Reading({LINK: {"up": fullest, "down": EMPTY}}, quiet=True)
    up, down = Shape(None, queue_frames=20), Shape(None, queue_frames=100)
    topology = Topology((), (Link(LINK, "access", 1, "device1", "cloud1", up, down),))
    assert backlogs(after, topology) == [
        BacklogReport(LINK, "up", 20, 18, 27_000),
        BacklogReport(LINK, "down", 100, 0, 0),
    ]
