"""Frames under a name that tells: any other figure of the link would have given one of them another fate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import pytest

from testbed.network.link_process.fates import variant
from testbed.network.measure.loss import TELLING_DATAGRAMS, copies_by_seed
from testbed.network.measure.telling import margin, telling_variant, tells
from testbed.scenario.topology import DIRECTIONS, Bursts, Direction, Shape

SHAPES = (
    Shape(None),
    Shape(None, loss=0.0005),
    Shape(None, loss=0.005),
    Shape(None, loss=0.02, duplicate=0.01),
    Shape(None, loss=0.1, duplicate=0.1),
    Shape(None, duplicate=0.03),
    Shape(None, loss=1.0),
)
LINKS = tuple(f"device{number}-edge1" for number in range(1, 6))


def telling_name(shape: Shape, link: str, direction: Direction, frames: int) -> str:
    number = telling_variant(shape, 7, "measurement-1", link, direction, frames)
    return variant("measurement-1", number)


def fates(shape: Shape, name: str, link: str, direction: Direction, frames: int) -> list[int]:
    return list(islice(copies_by_seed(shape, 7, name, link, direction), frames))


def others(shape: Shape, frames: int) -> Iterator[Shape]:
    """The shape with each figure off by its margin and a hair, and by much more."""
    for times in (1.001, 2, 10):
        for figure in ("loss", "duplicate"):
            value = getattr(shape, figure)
            near = times * margin(value, frames)
            if value + near <= 1:
                yield replace(shape, **{figure: value + near})
            if value > 0:
                yield replace(shape, **{figure: max(0.0, value - near)})


@pytest.mark.parametrize("frames", [TELLING_DATAGRAMS, 83])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_no_other_figures_give_the_same_fates(shape: Shape, frames: int) -> None:
    for link in LINKS:
        for direction in DIRECTIONS:
            name = telling_name(shape, link, direction, frames)
            true = fates(shape, name, link, direction, frames)
            for other in others(shape, frames):
                assert fates(other, name, link, direction, frames) != true, (name, other)


def test_most_names_do_not_tell() -> None:
    shape = Shape(None, loss=0.005)
    more = replace(shape, loss=0.005 + margin(0.005, TELLING_DATAGRAMS))
    like = sum(
        fates(shape, "measurement-1", link, "up", TELLING_DATAGRAMS)
        == fates(more, "measurement-1", link, "up", TELLING_DATAGRAMS)
        for link in (f"device{number}-edge1" for number in range(100))
    )
    assert like > 60


def test_the_margin_is_a_thousandth_or_a_twentieth_of_the_figure() -> None:
    assert margin(0, TELLING_DATAGRAMS) == margin(0.005, TELLING_DATAGRAMS) == 0.001
    assert margin(0.1, TELLING_DATAGRAMS) == pytest.approx(0.005)
    assert margin(0, 50) == pytest.approx(0.005)


def test_a_loss_too_rare_to_show_is_told_from_a_greater_one_all_the_same() -> None:
    shape = Shape(None, loss=1e-6)
    name = telling_name(shape, "device1-edge1", "up", TELLING_DATAGRAMS)
    more = replace(shape, loss=0.0011)
    assert fates(shape, name, "device1-edge1", "up", 250) != fates(more, name, "device1-edge1", "up", 250)


def test_it_is_known_where_no_name_tells() -> None:
    """As where a number just below each of two very rare shares is wanted among 250."""
    known = set()
    for link in LINKS:
        for shape in (Shape(None, loss=0.005), Shape(None, loss=0.0001, duplicate=0.0001)):
            name = telling_name(shape, link, "up", TELLING_DATAGRAMS)
            true = fates(shape, name, link, "up", TELLING_DATAGRAMS)
            hidden = [
                other
                for other in others(shape, TELLING_DATAGRAMS)
                if fates(other, name, link, "up", TELLING_DATAGRAMS) == true
            ]
            found = tells(shape, 7, name, link, "up", TELLING_DATAGRAMS)
            assert found == (not hidden), (link, shape)
            known.add((shape.duplicate > 0, found))
    assert {(False, True), (True, False)} <= known


def test_losses_in_bursts_keep_their_name() -> None:
    shape = Shape(None, loss=Bursts(0.01, 0.3).mean, bursts=Bursts(0.01, 0.3))
    assert telling_variant(shape, 7, "measurement-1", "a", "up", 300) == 0
