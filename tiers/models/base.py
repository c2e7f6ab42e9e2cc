"""What a tier asks of a model, and the one place that knows which kinds there are."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tiers.errors import ConfigError
from tiers.plugins import is_external, load_class


@dataclass(frozen=True, slots=True)
class Output:
    """One answer and what its confidence is computed from.

    ``logits`` are a classifier's, one for each class; ``token_logprobs`` natural logarithms, one for
    each produced token. ``confidence`` is set only where it was computed earlier (recorded inferences)
    and then stands for itself.
    """

    answer: str
    logits: Sequence[float] | None = None
    token_logprobs: Sequence[float] | None = None
    confidence: float | None = None


@dataclass(frozen=True)
class ModelConfig:
    """What the orchestrator says about a node's model: a kind and the kind's own options."""

    kind: str
    options: dict[str, Any]
    task: str
    labels: tuple[str, ...]
    tier: str
    threads: int
    plugins: tuple[str, ...] = field(default=())

    def take(self, *known: str) -> dict[str, Any]:
        """The options, if all are among ``known``.

        Raises:
            ConfigError: there are others.
        """
        unknown = sorted(set(self.options) - {*known, "name", "confidence"})
        if unknown:
            raise ConfigError(f"model kind {self.kind} has no option {', '.join(unknown)}")
        return dict(self.options)


class Model(ABC):
    """Answers one prompt at a time; used by one thread, in which it is also loaded."""

    confidence = "seq2class"
    """Which confidence suits what this model puts out, unless the configuration names another."""

    def __init__(self, config: ModelConfig) -> None:
        """Load it.

        Raises:
            ConfigError: the configuration, a file or an engine is not as it must be.
        """
        self.config = config

    @abstractmethod
    def infer(self, text: str) -> Output:
        """Answer ``text``, whole as the user sent it; the model truncates it inside.

        Raises:
            Exception: any; the request then ends as ``inference``.
        """

    def describe(self) -> dict[str, Any]:
        """What the run's manifest should know of it."""
        return {"kind": self.config.kind}


KINDS = {
    "transformers": "tiers.models.transformers:TransformersModel",
    "openai": "tiers.models.openai:OpenAIModel",
    "recorded": "tiers.models.recorded:RecordedModel",
}


def load_model(config: ModelConfig) -> Model:
    """The model of that configuration, loaded. Only its own kind's libraries are imported.

    Raises:
        ConfigError: no such kind, or it cannot be loaded.
    """
    if is_external(config.kind):
        external: type[Model] = load_class(config.kind, Model, config.plugins)
        return external(config)
    if config.kind not in KINDS:
        raise ConfigError(f"no model kind {config.kind!r}; known are {', '.join(KINDS)}, or file.py:Class")
    module, _, name = KINDS[config.kind].partition(":")
    made: type[Model] = getattr(importlib.import_module(module), name)
    return made(config)
