"""The confidence of a classifier: how probable its answer is."""

from __future__ import annotations

from collections.abc import Sequence

from tiers.confidence.base import OfLogits, softmax


class MaxSoftmax(OfLogits):
    """The largest softmax probability over the classes, max_i P(y=i|x): the paper's Seq2Class."""

    def of_logits(self, logits: Sequence[float]) -> float:
        return max(softmax(logits))
