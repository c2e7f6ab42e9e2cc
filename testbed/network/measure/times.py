"""Measures times: round trips by pings, each direction's delay and jitter by one-way datagrams."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from testbed.host.processes.priority import promptly
from testbed.network.measure.paths import Effort, LinkPath, second_attempt, wait_until_quiet
from testbed.network.measure.traffic import PING_FRAME_BYTES, PING_PAYLOAD_BYTES, SMALL_FRAME_BYTES, UdpPath
from testbed.network.measure.trains import Train, one_way_train, ping_socket, ping_train, run_trains
from testbed.scenario.expected import (
    FROM_FILE,
    along_files,
    delayed,
    held,
    jitter_bounds,
    one_way_ms,
    round_trip_ms,
    spread_expected_ms,
    spread_ms,
    tells_reordered,
    time_bounds,
)
from testbed.scenario.patience import longest_s
from testbed.scenario.reading.delay_file import greatest_fall_ms
from testbed.scenario.reports import Finding
from testbed.scenario.topology import DIRECTIONS, FRAME_BYTES, Direction, Shape

PINGS = 50
FRAME_PINGS = 10
LEAST_ANSWERS = 8
SIDE_BY_SIDE_BPS = 10_000_000
"""From this rate on a small frame is serialised in less than 0.1 ms."""
JITTERS_APART = 4
"""Standard deviations between datagrams where there is jitter. The way keeps the order, so that a datagram
that is held up holds up those behind it: sent closer together, their median would exceed the delay.
"""
MOST_APART_S = 0.1
"""Datagrams on a link with a file of delays are no farther apart, however much its delays fall."""


@dataclass
class _Timed:
    """The trains of one path."""

    path: LinkPath
    pings: Train
    frame_pings: Train
    one_way: dict[Direction, Train]

    def findings(self) -> Iterator[Finding]:
        yield self._round_trip("round trip", self.pings, PING_FRAME_BYTES)
        yield self._round_trip("round trip of a full frame", self.frame_pings, FRAME_BYTES)
        for direction, train in self.one_way.items():
            yield from self._direction(direction, train)

    def _round_trip(self, quantity: str, train: Train, frame_bytes: int) -> Finding:
        path, times_ms = self.path, train.times_ms
        expected = round_trip_ms(path.up, path.down, frame_bytes)
        if reordering := [shape.delay_ms for shape in (path.up, path.down) if shape.reorder]:
            times_ms = delayed(times_ms, expected, min(reordering), path.jitter_ms)
        distributions = (shape.jitter_distribution for shape in (path.up, path.down) if shape.jitter_ms)
        bounds = time_bounds(expected, path.jitter_ms, len(times_ms), *distributions)
        bounds = _with_files(bounds, (path.up, path.down), len(times_ms))
        median, note = _median(times_ms, train)
        return held(path.name, "both", quantity, "ms", expected, median, bounds, len(times_ms), note)

    def _direction(self, direction: Direction, train: Train) -> Iterator[Finding]:
        name, shape, times_ms = self.path.name, self.path.shape(direction), train.times_ms
        expected = one_way_ms(shape, SMALL_FRAME_BYTES)
        if shape.reorder:
            times_ms = delayed(times_ms, expected, shape.delay_ms, shape.jitter_ms)
        median, note = _median(times_ms, train)
        kind = shape.jitter_distribution
        bounds = time_bounds(expected, shape.jitter_ms, len(times_ms), kind)
        bounds = _with_files(bounds, [shape], len(times_ms))
        yield held(name, direction, "one way", "ms", expected, median, bounds, len(times_ms), note)
        spread = spread_ms(times_ms, shape.jitter_ms, kind)
        within = jitter_bounds(spread_expected_ms(shape), len(times_ms), kind)
        note = "" if spread is not None else f"{len(times_ms)} of {train.count} datagrams came"
        jitter = held(name, direction, "jitter", "ms", shape.jitter_ms, spread, within, len(times_ms), note)
        if shape.delay_file is not None:
            jitter = replace(jitter, ok=None, note=FROM_FILE)
        elif shape.reorder and not tells_reordered(shape.delay_ms, shape.jitter_ms):
            jitter = replace(jitter, ok=None, note="jitter makes frames as early as reordering does")
        yield jitter
        if shape.reorder == 0 and train.out_of_order:
            yield held(name, direction, "reordered", "datagrams", 0, train.out_of_order, (0, 0), train.count)


def _median(times_ms: Sequence[float], train: Train) -> tuple[float | None, str]:
    if len(times_ms) < LEAST_ANSWERS:
        return None, f"{len(times_ms)} of {train.count} came back"
    return statistics.median(times_ms), ""


def measure_times(paths: Sequence[LinkPath], effort: Effort) -> list[Finding]:
    """Measure round trip, one-way time and jitter of each path, all paths at the same time.

    Of many, datagrams are sent farther apart, so that together they are no more than the effort allows.

    A path that does not come out as configured is measured once more, and its note says so: a host that
    paused looks like an unsteady link once, an unsteady link does so every time.
    """
    findings = _measure_once(paths, effort)
    again = {finding.link for finding in findings if finding.ok is False}
    second = _measure_once([path for path in paths if path.name in again], effort)
    return [finding for finding in findings if finding.link not in again] + list(map(second_attempt, second))


def _measure_once(paths: Sequence[LinkPath], effort: Effort) -> list[Finding]:
    if not paths:
        return []
    with promptly(), ExitStack() as stack:
        timed = [_trains(path, identity, stack) for identity, path in enumerate(paths, start=0x7B00)]
        unqueued = [replace(shape, queue_frames=1) for path in paths for shape in (path.up, path.down)]
        last_wait_s = 0.3 + 2 * 2 * max(map(longest_s, unqueued))
        pings = [trains.pings for trains in timed]
        one_way = [train for trains in timed for train in trains.one_way.values()]
        frame_pings = [trains.frame_pings for trains in timed]
        parts = [[*pings, *one_way]] if _side_by_side(paths) else [pings, one_way]
        for together in [*parts, frame_pings]:
            _spread_out(together, effort.timed_frames_per_s)
            run_trains(together, last_wait_s)
        wait_until_quiet(paths)
    return [finding for trains in timed for finding in trains.findings()]


def _spread_out(trains: Sequence[Train], frames_per_s: float) -> None:
    """Put datagrams farther apart, if all trains together would be more frames in a second than that."""
    stretch = sum(train.frames_each / train.interval_s for train in trains) / frames_per_s
    for train in trains:
        train.interval_s *= max(1.0, stretch)


def _side_by_side(paths: Sequence[LinkPath]) -> bool:
    """Whether small frames some ms apart never wait for each other, at a bottleneck or on a way."""
    shapes = [shape for path in paths for shape in (path.up, path.down)]
    slowest_bps = min((shape.rate_bps for shape in shapes if shape.rate_bps), default=SIDE_BY_SIDE_BPS)
    return slowest_bps >= SIDE_BY_SIDE_BPS and all(shape == shape.still for shape in shapes)


def ping_interval_s(path: LinkPath, frame_bytes: int) -> float:
    """How far apart pings of a size are sent: none waits for the one before, neither at the bottleneck nor,
    but seldom, on the way, which keeps the order (:data:`JITTERS_APART`).
    """
    least_s = max(0.02, 3 * _serialised_s(path, frame_bytes), JITTERS_APART * path.jitter_ms / 1000)
    return max(least_s, _apart_s(path.up), _apart_s(path.down))


def _file_fall_s(shape: Shape) -> float:
    """How far apart datagrams of a direction must be, if none is to wait for the one before it, whose delay
    in the file was longer."""
    return 0.0 if shape.delay_file is None else greatest_fall_ms(Path(shape.delay_file)) / 1000


def _apart_s(shape: Shape) -> float:
    return min(MOST_APART_S, _file_fall_s(shape))


def _with_files(bounds: tuple[float, float], shapes: Sequence[Shape], samples: int) -> tuple[float, float]:
    """Bounds of a median, with what delay files, and waiting for frames ahead, may add to it."""
    low, high = along_files(bounds, shapes, samples)
    return low, high + sum(1000 * (_file_fall_s(shape) - _apart_s(shape)) for shape in shapes)


def _serialised_s(path: LinkPath, frame_bytes: int) -> float:
    """Of a round trip."""
    return (round_trip_ms(path.up, path.down, frame_bytes) - path.up.delay_ms - path.down.delay_ms) / 1000


def _trains(path: LinkPath, identity: int, stack: ExitStack) -> _Timed:
    small_s, full_s = (ping_interval_s(path, size) for size in (PING_FRAME_BYTES, FRAME_BYTES))
    pinger = stack.enter_context(ping_socket(path.child, path.parent))
    full_pinger = stack.enter_context(ping_socket(path.child, path.parent))
    arriving = max(0.25, (1 - path.up.loss) * (1 - path.down.loss))
    more = 2 if path.jitter_ms else 1  # a median of more, where chance moves it
    one_way: dict[Direction, Train] = {}
    for direction in DIRECTIONS:
        jitter_ms = path.shape(direction).jitter_ms
        interval_s = max(0.01 if jitter_ms else 0.02, _serialised_s(path, PING_FRAME_BYTES) * 1.5)
        interval_s = max(interval_s, JITTERS_APART * jitter_ms / 1000, _apart_s(path.shape(direction)))
        count = int(min(200, max(60, 2 / interval_s))) if jitter_ms else PINGS
        udp = stack.enter_context(UdpPath(*path.ends(direction), sink_buffer_bytes=1 << 19))
        one_way[direction] = one_way_train(udp, count, interval_s)
    full_payload = FRAME_BYTES - PING_FRAME_BYTES + PING_PAYLOAD_BYTES
    return _Timed(
        path,
        ping_train(pinger, identity, int(more * PINGS / arriving), small_s, PING_PAYLOAD_BYTES),
        ping_train(full_pinger, identity ^ 0x8000, int(more * FRAME_PINGS / arriving), full_s, full_payload),
        one_way,
    )
