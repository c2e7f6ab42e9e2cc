"""The confidence of a classifier: how far the next class is behind."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tiers.confidence.base import OfLogits


class Margin(OfLogits):
    """The largest softmax probability less the second largest, as in active learning; 1 for one class.

    Scheffer, Decomain and Wrobel, IDA 2001.
    """

    def of_logits(self, logits: Sequence[float]) -> float:
        first, second = sorted([*logits, -math.inf], reverse=True)[:2]
        # The difference of the two by expm1, which keeps the digits that a subtraction loses near a tie.
        return -math.expm1(second - first) / math.fsum(math.exp(logit - first) for logit in logits)
