"""The confidence of a produced sequence, as the paper has it."""

from __future__ import annotations

from collections.abc import Sequence

from tiers.confidence.base import OfTokens
from tiers.confidence.inverse_perplexity import inverse_perplexity


class PaperSeq2Seq(OfTokens):
    """1/(1 + PPL): in [0, 0.5], as PPL is at least 1 (arXiv:2505.16502, as others report it)."""

    def of_tokens(self, logprobs: Sequence[float]) -> float:
        inverse = inverse_perplexity(logprobs)
        return inverse / (1.0 + inverse)  # PPL itself overflows for a sequence that is improbable enough
