"""The confidence of a classifier whose classes were trained one by one."""

from __future__ import annotations

import math

from tiers.confidence.base import Confidence
from tiers.models.base import Output


class Sigmoid(Confidence):
    """The largest sigmoid over the classes, max_i 1/(1 + exp(-x_i)): each class is likely or not by itself.

    ``transformers.pipeline`` scores so where ``problem_type`` is ``multi_label_classification``.
    """

    def of(self, output: Output) -> float:
        if not output.logits:
            raise ValueError("sigmoid needs the logits of a classifier; this model gives none")
        largest = max(output.logits)
        if largest < 0:  # neither form overflows on its side
            return math.exp(largest) / (1.0 + math.exp(largest))
        return 1.0 / (1.0 + math.exp(-largest))
