"""The confidence of a produced sequence: a low quantile of its tokens' probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tiers.confidence.base import OfTokens
from tiers.window import quantile_of_sorted

QUANTILE = 0.1
"""Our choice: a long answer's doubtful part, without hanging on its single worst token."""


class TokenQuantile(OfTokens):
    """The 0.1-quantile of the token probabilities, linear between neighbours; of one token, its own.

    Quantiles of token probabilities are from Gupta et al., ICLR 2024 (arXiv:2404.10136), where which one is a
    hyperparameter; a mean hides a doubtful token in a long answer, and a sum grows with the length.
    """

    def of_tokens(self, logprobs: Sequence[float]) -> float:
        return min(1.0, quantile_of_sorted(sorted(map(math.exp, logprobs)), QUANTILE))
