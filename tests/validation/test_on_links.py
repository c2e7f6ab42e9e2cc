"""A link that is not what a check asked for is found out, check by check, on real links."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from testbed.console import Reporter
from testbed.host.processes.run_lock import new_run_id
from testbed.scenario.topology import Shape
from testbed.validation.bench import Bench
from testbed.validation.registry import checks


@dataclass(frozen=True)
class Crooked(Bench):
    """A bench whose link is bent: it has another shape than the check asked for."""

    bend: Callable[[Shape], Shape] = lambda shape: shape

    def reshape(self, up: Shape, down: Shape) -> None:
        super().reshape(self.bend(up), self.bend(down))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Bench.open(new_run_id(), tmp_path_factory.mktemp("bench"), Reporter(), short=True) as bench:
        yield bench


def found_out(bench: Bench, name: str, bend: Callable[[Shape], Shape], figure: str) -> bool:
    """Whether the check fails on a bent link by a figure of that name."""
    crooked = Crooked(bench.network, bench.directory, bench.reporter, short=True, bend=bend)
    return any(figure in one.quantity for one in checks()[name].measure(crooked) if not one.ok)


def slower(shape: Shape) -> Shape:
    return shape if shape.rate_bps is None else replace(shape, rate_bps=int(shape.rate_bps * 0.8))


def later(shape: Shape) -> Shape:
    return replace(shape, delay_ms=shape.delay_ms + 3)


@pytest.mark.root
@pytest.mark.parametrize(
    ("name", "bend", "figure"),
    [
        ("round-trip", later, "ping of 98 bytes, 100 Mbit/s, 1 ms"),
        ("round-trip", later, "wake-ups"),
        ("round-trip", slower, "ping of 1,514 bytes, 1 Mbit/s"),
        ("round-trip", lambda shape: replace(shape, delay_ms=shape.delay_ms * 0.98), "earliest"),
        ("serialisation", slower, "1,514 bytes at 1 Mbit/s"),
        (
            "rate",
            lambda shape: replace(shape, rate_bps=int((shape.rate_bps or 0) * 0.995) or None),
            "20 Mbit/s",
        ),
        ("queue", lambda shape: replace(shape, queue_frames=shape.queue_frames + 3), "queue of 5"),
        ("loss", lambda shape: replace(shape, loss=shape.loss + 0.02), "loss of 0 %"),
        ("loss", lambda shape: replace(shape, loss=0.0), "loss of 2 %"),
        ("loss", lambda shape: replace(shape, bursts=None), "in bursts"),
        (
            "jitter",
            lambda shape: replace(shape, jitter_distribution="normal"),
            "uniform: the seed's",
        ),
        ("jitter", lambda shape: replace(shape, jitter_ms=5.0), "the seed's own time"),
        ("jitter", lambda shape: replace(shape, jitter_ms=0.0, reorder=0.2), "overtaken"),
        ("capture", lambda shape: replace(shape, rate_bps=10**6, queue_frames=5), "counters"),
        ("transfer", lambda shape: replace(shape, delay_ms=shape.delay_ms * 1.1), "1 KB over 10 Mbit/s"),
        ("transfer", lambda shape: replace(shape, queue_frames=4), "16 KB over 10 Mbit/s"),
        ("rate-file", lambda shape: replace(shape, queue_frames=1), "second 1"),
    ],
)
def test_a_link_that_is_not_as_asked_is_found_out(
    bench: Bench, name: str, bend: Callable[[Shape], Shape], figure: str
) -> None:
    assert found_out(bench, name, bend, figure)
