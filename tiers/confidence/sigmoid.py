"""The confidence of a classifier whose classes were trained one by one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tiers.confidence.base import OfLogits


class Sigmoid(OfLogits):
    """The largest sigmoid over the classes, max_i 1/(1 + exp(-x_i)): each class is likely or not by itself.

    ``transformers.pipeline`` scores so where ``problem_type`` is ``multi_label_classification``.
    """

    def of_logits(self, logits: Sequence[float]) -> float:
        largest = max(logits)
        if largest < 0:  # neither form overflows on its side
            return math.exp(largest) / (1.0 + math.exp(largest))
        return 1.0 / (1.0 + math.exp(-largest))
