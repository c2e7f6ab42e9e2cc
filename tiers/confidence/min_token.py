"""The confidence of a produced sequence: its least probable token."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tiers.confidence.base import OfTokens


class MinToken(OfTokens):
    """The smallest token probability: the 0-quantile of Gupta et al., ICLR 2024 (arXiv:2404.10136)."""

    def of_tokens(self, logprobs: Sequence[float]) -> float:
        return min(1.0, math.exp(min(logprobs)))
