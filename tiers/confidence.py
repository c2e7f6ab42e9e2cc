"""How sure a model is of its answer, as a number in [0, 1] (arXiv:2505.16502).

A confidence says nothing of what becomes of the answer: that is the policy's. Arithmetic is float64.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

from tiers.errors import ConfigError
from tiers.models.base import Output
from tiers.plugins import is_external, load_class


class Confidence(ABC):
    """Turns what a model put out into one number. Derive from it in a file of your own to add one."""

    @abstractmethod
    def of(self, output: Output) -> float:
        """The confidence of ``output``'s answer, in [0, 1].

        Raises:
            ValueError: the output lacks what this confidence is computed from.
        """


class Seq2Class(Confidence):
    """The largest softmax probability over the classes, max_i P(y=i|x)."""

    def of(self, output: Output) -> float:
        if not output.logits:
            raise ValueError("seq2class needs the logits of a classifier; this model gives none")
        return max_softmax(output.logits)


class Seq2Seq(Confidence):
    """1/PPL = exp(mean token log-probability): in (0, 1], comparable across lengths; 0 for no token."""

    def of(self, output: Output) -> float:
        if output.token_logprobs is None:
            raise ValueError("seq2seq needs token log-probabilities; this model gives none")
        return inverse_perplexity(output.token_logprobs)


REGISTRY: dict[str, type[Confidence]] = {"seq2class": Seq2Class, "seq2seq": Seq2Seq}


def max_softmax(logits: Sequence[float]) -> float:
    """Largest of the softmax of ``logits``; the largest is taken off first, so nothing overflows."""
    largest = max(logits)
    return 1.0 / math.fsum(math.exp(logit - largest) for logit in logits)


def inverse_perplexity(logprobs: Sequence[float]) -> float:
    """exp of the mean of natural-log probabilities; 0 for an empty sequence, which says nothing."""
    if not logprobs:
        return 0.0
    return min(1.0, math.exp(math.fsum(logprobs) / len(logprobs)))


def make_confidence(name: str, plugins: Sequence[str] = ()) -> Confidence:
    """The confidence of that name: ``seq2class``, ``seq2seq`` or ``file.py:Class``.

    Raises:
        ConfigError: there is none, or it cannot be made.
    """
    if is_external(name):
        try:
            made: Confidence = load_class(name, Confidence, plugins)()
            return made
        except TypeError as error:
            raise ConfigError(f"confidence {name}: {error}") from error
    if name not in REGISTRY:
        raise ConfigError(
            f"no confidence {name!r}; known are {', '.join(sorted(REGISTRY))}, or file.py:Class"
        )
    return REGISTRY[name]()
