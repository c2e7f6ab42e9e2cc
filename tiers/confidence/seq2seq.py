"""The confidence of a produced sequence."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tiers.confidence.base import Confidence
from tiers.models.base import Output


class Seq2Seq(Confidence):
    """1/PPL = exp(mean token log-probability): in (0, 1], comparable across lengths; 0 for no token."""

    def of(self, output: Output) -> float:
        if output.token_logprobs is None:
            raise ValueError("seq2seq needs token log-probabilities; this model gives none")
        return inverse_perplexity(output.token_logprobs)


def inverse_perplexity(logprobs: Sequence[float]) -> float:
    """exp of the mean of natural-log probabilities; 0 for an empty sequence, which says nothing."""
    if not logprobs:
        return 0.0
    return min(1.0, math.exp(math.fsum(logprobs) / len(logprobs)))
