"""What a confidence is, and how one is found by name."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

from tiers import plain
from tiers.errors import ConfigError
from tiers.models.base import Output
from tiers.plugins import external
from tiers.variants import Variants

ROUNDING = 1e-6
"""By which sums and logarithms, in single precision too, may leave [0, 1]."""


class Confidence(ABC):
    """Turns what a model put out into one number."""

    @abstractmethod
    def of(self, output: Output) -> float:
        """The confidence of ``output``'s answer, in [0, 1].

        Raises:
            ValueError: the output lacks what this confidence is computed from.
        """


class OfLogits(Confidence):
    """A confidence that is computed from a classifier's logits, one for each class."""

    def of(self, output: Output) -> float:
        if not output.logits:
            raise ValueError(f"{_name(self)} needs the logits of a classifier; this model gives none")
        return self.of_logits(output.logits)

    @abstractmethod
    def of_logits(self, logits: Sequence[float]) -> float:
        """The confidence, in [0, 1], of at least one logit."""


class OfTokens(Confidence):
    """A confidence that is computed from the log-probabilities of the tokens that make up an answer.

    An answer of no token says nothing: its confidence is 0.
    """

    def of(self, output: Output) -> float:
        if output.token_logprobs is None:
            raise ValueError(f"{_name(self)} needs token log-probabilities; this model gives none")
        return self.of_tokens(output.token_logprobs) if output.token_logprobs else 0.0

    @abstractmethod
    def of_tokens(self, logprobs: Sequence[float]) -> float:
        """The confidence, in [0, 1], of at least one natural logarithm of a probability."""


def softmax(logits: Sequence[float]) -> list[float]:
    """The softmax probabilities of ``logits``; the largest is taken off first, so nothing overflows."""
    largest = max(logits)
    weights = [math.exp(logit - largest) for logit in logits]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


CONFIDENCES: Variants[Confidence] = Variants(
    "confidence",
    "tiers.confidence",
    Confidence,
    older={"seq2class": "max_softmax", "seq2seq": "inverse_perplexity"},
)


def make_confidence(name: str, plugins: Sequence[str] = ()) -> Confidence:
    """The confidence of that name: one of :data:`CONFIDENCES`, or ``file.py:Class``.

    Raises:
        ConfigError: there is none, or it cannot be made.
    """
    try:
        return CONFIDENCES.find(name, plugins)()
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:
        if external(name) is None:
            raise
        raise ConfigError(f"confidence {name}: {plain.told(error)}") from error


def _name(confidence: Confidence) -> str:
    """What a confidence of ours is called."""
    return type(confidence).__module__.rpartition(".")[2]


def confidence_in(output: Output, measure: Confidence) -> float:
    """The confidence of an answer, in [0, 1]: the one that it came with, or else by ``measure``.

    Raises:
        ValueError: it is not in [0, 1], or cannot be computed from this output.
    """
    found = measure.of(output) if output.confidence is None else output.confidence
    confidence = plain.number(found, "the confidence of this answer")
    if not -ROUNDING <= confidence <= 1 + ROUNDING:  # NaN is not, either
        raise ValueError(f"the confidence of this answer is {confidence}, which is not in [0, 1]")
    return min(max(confidence, 0.0), 1.0)
