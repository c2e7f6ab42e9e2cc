"""Points of a what-if, summed over all requests and over resamples of their prompts, the same for all."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from testbed.errors import TestbedError
from testbed.results.burden import paper_bytes
from testbed.results.measures import Measure
from testbed.results.resampling import by_prompt, interval, resampled
from testbed.results.statistics import LEAST_RESAMPLED, RESAMPLES, Estimate
from testbed.study.what_if.predict import WhatIf
from testbed.study.what_if.study import Floats, Ints, Study


class Drawn:
    """Figures of points, and of each tier alone, in all requests and in each resample.

    What comes back is of the shape (1 + resamples): the first is that of all requests. Differences of two
    are paired. What a policy learnt from the requests, such as a threshold, is held fixed.
    """

    def __init__(self, found: WhatIf) -> None:
        self._study = found.study
        self._levels = [levels for _, levels in found.served]
        if len(self._levels) < len(found.points):
            raise TestbedError("too many points to keep who answered each request; give fewer values")

    def quality(self, point: int) -> Floats:
        """The score of a point, by its place."""
        return self._score(point)

    def alone(self, tier: int) -> Floats:
        """The score of a tier, counted from 0, that answers all requests."""
        return self._score(len(self._levels) + tier)

    def burden(self, point: int) -> Floats:
        """The paper's burden of a point over that of the top tier, which devices reach in one hop."""
        return np.asarray(self._sums[:, self._at(point) - 1] / self._sums[:, -2])

    def _score(self, block: int) -> Floats:
        end = self._at(block) - 1
        return self._measure.score(self._sums[:, end - self._width : end], self._sums[:, -1])

    def _at(self, block: int) -> int:
        return (block + 1) * (self._width + 1)

    @cached_property
    def _measure(self) -> Measure:
        if self._study.measure is None:
            raise TestbedError("the recording has no references, so that answers have no score")
        return self._study.measure

    @cached_property
    def _width(self) -> int:
        return int(self._study.counts.shape[-1])

    @cached_property
    def _sums(self) -> Floats:
        """Counts and the paper's bytes of each point and tier; the top's direct bytes; requests."""
        study, count = self._study, len(self._study.places)
        _ = self._measure
        tiers = [np.full(count, level, dtype=np.int64) for level in range(len(study.tiers))]
        blocks = [_block(study, levels) for levels in [*self._levels, *tiers]]
        direct = paper_bytes(tiers[-1], study.request_bytes, study.answer_bytes[-1], alone=True)
        rows = np.column_stack([*blocks, direct, np.ones(count)]).astype(np.float64)
        sums = by_prompt(rows, study.places.tolist())
        return np.vstack([sums.sum(axis=0), resampled(sums, RESAMPLES)])


def _block(study: Study, levels: Ints) -> Floats:
    answers = np.take_along_axis(study.answer_bytes, levels[np.newaxis], axis=0)[0]
    paper = paper_bytes(levels, study.request_bytes, answers)
    return np.column_stack([study.counts[levels, study.places], paper])


def estimated(values: Floats, prompts: int) -> Estimate:
    """The figure of all requests with the percentile interval of its resamples."""
    return Estimate(float(values[0]), interval(values[1:]) if prompts >= LEAST_RESAMPLED else None)
