"""The confidence of a produced sequence: the geometric mean of its tokens' probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tiers.confidence.base import OfTokens


class InversePerplexity(OfTokens):
    """1/PPL = exp(mean token log-probability): in [0, 1], comparable across lengths."""

    def of_tokens(self, logprobs: Sequence[float]) -> float:
        return inverse_perplexity(logprobs)


def inverse_perplexity(logprobs: Sequence[float]) -> float:
    """exp of the mean of natural-log probabilities; 0 for an empty sequence, which says nothing."""
    if not logprobs:
        return 0.0
    return min(1.0, math.exp(math.fsum(logprobs) / len(logprobs)))
