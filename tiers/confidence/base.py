"""What a confidence is, and how one is found by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from tiers.errors import ConfigError
from tiers.models.base import Output
from tiers.variants import Variants


class Confidence(ABC):
    """Turns what a model put out into one number."""

    @abstractmethod
    def of(self, output: Output) -> float:
        """The confidence of ``output``'s answer, in [0, 1].

        Raises:
            ValueError: the output lacks what this confidence is computed from.
        """


CONFIDENCES: Variants[Confidence] = Variants("confidence", "tiers.confidence", Confidence)


def make_confidence(name: str, plugins: Sequence[str] = ()) -> Confidence:
    """The confidence of that name: one of :data:`CONFIDENCES`, or ``file.py:Class``.

    Raises:
        ConfigError: there is none, or it cannot be made.
    """
    try:
        return CONFIDENCES.find(name, plugins)()
    except TypeError as error:
        raise ConfigError(f"confidence {name}: {error}") from error
