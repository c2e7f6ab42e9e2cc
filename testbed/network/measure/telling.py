"""Names for a measurement under which a few frames of a direction tell its figures from all others.

The i-th frame is lost if its number by the seed is below the loss
(:mod:`testbed.network.link_process.fates`). So a frame with a number just below the loss, which is lost,
shows that the loss is no less; one with a number just above, which arrives, that it is no more. Under most
names a few hundred frames have no such numbers. A name under which they have is looked for: then nothing is
left to chance.
"""

from __future__ import annotations

from collections.abc import Iterator

from testbed.network.link_process.fates import numbers, variant
from testbed.scenario.topology import Direction, Shape

NEAR_FRAMES = 0.25
"""So many of the frames have, on average, a number in the margin on one side of a figure."""
NEAR_SHARE = 0.05
"""The margin is at least this share of the figure."""
LEAST_EXPECTED = 0.02
"""A figure by which fewer frames than that are lost, on average, is not told from 0."""
MOST_NAMES = 3000


def margin(figure: float, frames: int) -> float:
    """How far off a probability is noticed for certain in so many frames: by 0.1 % (of 1) in 250."""
    return max(figure * NEAR_SHARE, NEAR_FRAMES / frames)


def telling_variant(
    shape: Shape, seed: int, method: str, link: str, direction: Direction, frames: int
) -> int:
    """The first variant of a method's name under which so many frames tell.

    Where none of the first :data:`MOST_NAMES` does, as where both loss and duplication are very rare, the one
    that comes closest: :func:`tells` has the answer. Of losses in bursts no name tells so much.
    """
    if shape.bursts is not None:
        return 0
    best, most = 0, -1
    for number in range(MOST_NAMES):
        told = 0
        for shows in _answers(shape, (seed, variant(method, number), link, direction), frames):
            if not shows:
                break
            told += 1
        else:
            return number
        if told > most:
            best, most = number, told
    return best


def tells(shape: Shape, seed: int, method: str, link: str, direction: Direction, frames: int) -> bool:
    """Whether so many frames tell under a name, whose variant is chosen already.

    That is: had the direction another loss, or doubled another share, by :func:`margin` or more, at least one
    of its first ``frames`` frames would fare otherwise.
    """
    return shape.bursts is None and all(_answers(shape, (seed, method, link, direction), frames))


def _answers(shape: Shape, whose: tuple[int, str, str, Direction], frames: int) -> Iterator[bool]:
    """Whether a loss would show that is too high; one too low; and a share of doubled frames likewise."""

    def drawn(stream: str) -> list[float]:
        draw = numbers(*whose, stream)
        return [draw() for _ in range(frames)]

    loss, double = shape.loss, shape.duplicate
    losses = drawn("loss")
    bands = _bands(loss, frames)
    for low, high in bands:  # a quick look first, for most names end here
        yield bool([lost for lost in losses if low <= lost < high])
    doubles = drawn("duplicate")
    for low, high in bands:
        if double:  # a lost frame that is doubled goes on once
            yield any(
                low <= lost < high and more >= double for lost, more in zip(losses, doubles, strict=True)
            )
    copies = drawn("copy-loss") if loss else [1.0] * frames
    for low, high in _bands(double, frames):  # a second copy may be lost, and the frame look like any other
        yield any(
            low <= more < high and (lost < loss or copy >= loss)
            for lost, more, copy in zip(losses, doubles, copies, strict=True)
        )


def _bands(figure: float, frames: int) -> list[tuple[float, float]]:
    """Where a number must lie to show that the figure is no lower, and no higher."""
    near = margin(figure, frames)
    bands = [(figure, figure + near)] if figure < 1 else []
    return [*bands, (max(0.0, figure - near), figure)] if figure * frames >= LEAST_EXPECTED else bands
