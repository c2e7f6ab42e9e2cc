"""The confidence of a classifier."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tiers.confidence.base import Confidence
from tiers.models.base import Output


class Seq2Class(Confidence):
    """The largest softmax probability over the classes, max_i P(y=i|x)."""

    def of(self, output: Output) -> float:
        if not output.logits:
            raise ValueError("seq2class needs the logits of a classifier; this model gives none")
        return max_softmax(output.logits)


def max_softmax(logits: Sequence[float]) -> float:
    """Largest of the softmax of ``logits``; the largest is taken off first, so nothing overflows."""
    largest = max(logits)
    return 1.0 / math.fsum(math.exp(logit - largest) for logit in logits)
