"""A capture's account against the kernel's counters: whatever is amiss, in either direction, is said."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from testbed.capture import CaptureReport
from testbed.counters import Counters
from testbed.evidence import Evidence
from testbed.fidelity import judge
from testbed.link import QueueDrops
from testbed.reconcile import Reading, Reconciled, reconcile
from testbed.topology import DIRECTIONS, Direction
from testbed.wire import account
from tests.wire.crafted import ENDS, Connection, answer, request, write

LINK = "device1-edge1"


def reading(frames: Mapping[Direction, Counters], no_room: Direction | None = None) -> Reading:
    drops = {one: QueueDrops(0, 0, emulator_dropped_frames=7 * (one == no_room)) for one in DIRECTIONS}
    return Reading({LINK: frames}, {LINK: drops}, quiet=True)


def exchanged(
    folder: Path,
    *,
    more: int = 0,
    no_room: Direction | None = None,
    report: CaptureReport | None = None,
) -> Reconciled:
    """One exchange, of which the kernel counted ``more`` bytes up than the capture has."""
    connection = Connection()
    connection.send(True, request("p").wire)
    connection.send(False, answer("r").wire)
    found = account(write(folder / "a.pcap", connection.frames), ENDS)
    counted = {one: Counters(found.parts(one).frames, found.parts(one).accounted_bytes) for one in DIRECTIONS}
    counted["up"] = Counters(counted["up"].frames, counted["up"].bytes + more)
    before = reading({one: Counters(0, 0) for one in DIRECTIONS})
    return reconcile("recserve", LINK, before, reading(counted, no_room), found, report)


def against_bytes(found: Reconciled) -> tuple[str, ...]:
    return judge(Evidence(accounts=found.accounts)).reasons["bytes"]


def test_a_sound_exchange_is_accounted_for_both_ways(tmp_path: Path) -> None:
    found = exchanged(tmp_path)
    assert against_bytes(found) == ()
    assert [(row["prompt_bytes"], row["answer_bytes"]) for row in found.rows] == [(1, 0), (0, 1)]


def test_bytes_that_the_capture_has_not_are_not_accounted_for(tmp_path: Path) -> None:
    (reason,) = against_bytes(exchanged(tmp_path, more=66))
    assert "66 of" in reason


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_frames_that_the_kernel_had_no_room_for_cost_the_verdict_on_bytes_in_either_direction(
    tmp_path: Path, direction: Direction
) -> None:
    (reason,) = against_bytes(exchanged(tmp_path, no_room=direction))
    assert reason == f"recserve, {LINK}: the kernel had no room for 7 frames {direction}"


def test_frames_that_the_capture_lost_are_told_once_for_the_link(tmp_path: Path) -> None:
    found = exchanged(tmp_path, report=CaptureReport(5, 500, 8, dropped_by_kernel=3, faults=()))
    assert sum(one.capture_dropped_frames for one in found.accounts) == 3
    (reason,) = against_bytes(found)
    assert reason == f"recserve, {LINK}: the capture lost 3 frames"
