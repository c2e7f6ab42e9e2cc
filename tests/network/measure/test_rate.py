"""A rate from the stamps of frames on a wire, where some are late."""

from __future__ import annotations

import socket

import pytest

from testbed.network.measure.rate import slope_bps
from testbed.network.measure.traffic import set_receive_buffer
from testbed.network.measure.wire_tap import Sent

FRAME_BYTES = 1514


def frames(rate_bps: float, count: int) -> list[Sent]:
    return [Sent(round(index * 8e9 * FRAME_BYTES / rate_bps), FRAME_BYTES) for index in range(count)]


@pytest.mark.parametrize("count", [2, 20, 830])
def test_frames_at_their_times_show_their_rate(count: int) -> None:
    assert slope_bps(frames(100e6, count)) == pytest.approx(100e6, rel=1e-4)


@pytest.mark.parametrize("late", [0, -1])
def test_a_frame_that_is_late_hides_no_wrong_rate(late: int) -> None:
    """As the last of 0.1 s, 2.5 ms late: over the time between the first and the last it hid 1.5 %."""
    sent = frames(101.5e6, 830)
    sent[late] = sent[late]._replace(at_ns=sent[late].at_ns + 2_500_000)
    assert slope_bps(sent) == pytest.approx(101.5e6, rel=5e-4)


def test_a_link_as_fast_as_a_scenario_may_have_asks_for_no_buffer_that_no_socket_has() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        set_receive_buffer(receiver, 21 << 30)
        assert receiver.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) > 0
