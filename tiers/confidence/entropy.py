"""The confidence of a classifier: how little its probabilities are spread over the classes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tiers.confidence.base import OfLogits, softmax


class Entropy(OfLogits):
    """1 - H / ln K, with H = -Σ p_i ln p_i of the softmax over K classes (Shannon, BSTJ 1948).

    0 where all classes are equally probable, 1 where one is certain; 1 for one class.
    """

    def of_logits(self, logits: Sequence[float]) -> float:
        if len(logits) == 1:
            return 1.0
        spread = -math.fsum(p * math.log(p) for p in softmax(logits) if p)
        return min(max(1.0 - spread / math.log(len(logits)), 0.0), 1.0)
