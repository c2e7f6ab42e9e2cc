"""A bottleneck's queue is seen while it is full, and does not outgrow its limit."""

from __future__ import annotations

import time

import pytest

from testbed.backlog import BacklogWatch
from testbed.topology import Shape
from tests.network.lab import FULL_PAYLOAD, HEADER_BYTES, flood, tree, up

pytestmark = pytest.mark.root
FRAME_BYTES = FULL_PAYLOAD + HEADER_BYTES


def test_a_queue_that_fills_is_seen_and_one_in_the_other_direction_is_not() -> None:
    with up(tree(devices=1, up=Shape(10**6, queue_frames=20))) as network:
        links = [network.link("device1-edge1"), network.link("edge1-cloud1")]
        flooding = flood(network, "device1", "edge1", FRAME_BYTES * 8 / 2e6)
        with BacklogWatch(links, interval_s=0.02) as watch, flooding:
            time.sleep(1)
        found = {(one.link, one.direction): one for one in watch.reports}
    assert len(found) == 4
    busy = found.pop(("device1-edge1", "up"))
    assert 10 <= busy.max_frames <= busy.queue_frames == 20
    assert busy.max_bytes == busy.max_frames * FRAME_BYTES
    assert busy.samples >= 5
    assert {(one.max_frames, one.max_bytes) for one in found.values()} == {(0, 0)}


def test_a_queue_that_was_longer_for_a_while_is_held_against_the_length_that_it_had() -> None:
    short, long = Shape(200_000, queue_frames=5), Shape(200_000, queue_frames=40)
    with up(tree(devices=1, up=short)) as network:
        link = network.link("device1-edge1")
        flooding = flood(network, "device1", "edge1", FRAME_BYTES * 8 / 2e6)
        with BacklogWatch([link], interval_s=0.02) as watch, flooding:
            link.reshape(long, long)
            time.sleep(1)
            link.reshape(short, short)
    busy, idle = watch.reports
    assert (busy.queue_frames, idle.queue_frames) == (40, 5)
    assert 10 <= busy.max_frames <= 40
