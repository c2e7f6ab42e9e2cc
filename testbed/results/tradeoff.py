"""What a curve of operating points gives between them: quality at a burden, and the burden of a quality.

Between two neighbours in burden a curve is straight: a system that uses the one setting for some of the
requests, drawn by lot, and the other for the rest has the mean of both burdens, and of both accuracies. (Of
BLEU, which is no mean over requests, that is so nearly.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
_ROUNDING = 1e-9
"""A quality that is interpolated may lie so far beside the one that it is, relative to the greatest."""


def by_burden(burdens: Floats, qualities: Floats) -> tuple[Floats, Floats]:
    """Both in the order of the burden, and with equal ones of the quality; along the last axis."""
    order = np.lexsort((qualities, burdens), axis=-1)
    return np.take_along_axis(burdens, order, -1), np.take_along_axis(qualities, order, -1)


def quality_at(burdens: Floats, qualities: Floats, share: float) -> Floats:
    """The quality at a burden; beyond a curve's ends, that of the end.

    Args:
        burdens: of each point, ascending along the last axis, of the shape (…, points) with 2 points or more.
        qualities: of the same shape.
        share: the burden.

    Returns:
        Of the shape (…).
    """
    left = np.clip((burdens <= share).sum(axis=-1) - 1, 0, burdens.shape[-1] - 2)
    (low, high), (worse, better) = (_beside(values, left) for values in (burdens, qualities))
    width = high - low
    part = np.where(width > 0, np.clip((share - low) / np.where(width > 0, width, 1.0), 0.0, 1.0), 1.0)
    return np.asarray(worse + part * (better - worse), dtype=np.float64)


def least_burden(burdens: Floats, qualities: Floats, wanted: ArrayLike) -> Floats:
    """The least burden at which a curve reaches a quality; infinite if it does so nowhere.

    A curve that has it already at its least burden reaches it there, as far as its points tell.

    Args:
        burdens: as above.
        qualities: as above.
        wanted: the quality, of the shape (…).
    """
    aim = np.broadcast_to(np.asarray(wanted, dtype=np.float64), burdens.shape[:-1])
    near = aim - _ROUNDING * np.abs(qualities).max(axis=-1)
    reached = qualities >= near[..., np.newaxis]
    first = reached.argmax(axis=-1)
    (low, high), (worse, better) = (
        _beside(values, np.maximum(first - 1, 0)) for values in (burdens, qualities)
    )
    climb = better - worse
    part = np.clip((aim - worse) / np.where(climb > 0, climb, 1.0), 0.0, 1.0)
    found = np.where(first == 0, low, low + part * (high - low))
    return np.asarray(np.where(reached.any(axis=-1), found, np.inf), dtype=np.float64)


def above_at_start(qualities: Floats, wanted: ArrayLike) -> NDArray[np.bool_]:
    """Whether a curve is better than wanted at its least burden already, so that less might do."""
    rounding = _ROUNDING * np.abs(qualities).max(axis=-1)
    return np.asarray(qualities[..., 0] > np.asarray(wanted) + rounding, dtype=np.bool_)


def _beside(values: Floats, left: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """The values at a place along the last axis, and at the next."""
    at = left[..., np.newaxis]
    return (
        np.take_along_axis(values, at, -1)[..., 0],
        np.take_along_axis(values, np.minimum(at + 1, values.shape[-1] - 1), -1)[..., 0],
    )
