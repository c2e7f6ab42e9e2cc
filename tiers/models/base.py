"""What a tier asks of a model, and how one is found by the name of its kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tiers.api.asked import Asked
from tiers.api.fields import Ability, narrowed
from tiers.api.schema import Schema
from tiers.errors import ConfigError
from tiers.parameters import construct, parameters
from tiers.plugins import external
from tiers.tasks import make_task
from tiers.variants import Variants


@dataclass(frozen=True, slots=True)
class Output:
    """One answer and what its confidence is computed from.

    ``logits`` are a classifier's, one for each class; ``token_logprobs`` natural logarithms, one for
    each produced token. ``confidence`` is set only where it was computed earlier (recorded inferences)
    and then stands for itself. ``made_up``: no model gave the answer. ``prompt_tokens`` were read and
    ``completion_tokens`` make up the answer, by the model's own tokenizer; ``None`` where it has none.
    ``cut_off``: it produced all that it may, without an end. ``logprobs`` are there only if they were asked
    for: an entry for each token, as in ``logprobs.content`` of the OpenAI API. ``backend_ms`` is how long an
    engine behind the tier was waited for, ``None`` where there is none.
    """

    answer: str
    logits: Sequence[float] | None = None
    token_logprobs: Sequence[float] | None = None
    confidence: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cut_off: bool = False
    made_up: bool = False
    backend_ms: float | None = None
    logprobs: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class ModelConfig:
    """What the orchestrator says about a node's model: a kind and the kind's own options.

    ``template`` and ``answer_confidence`` are the task's; those of the kind of task, if not given.
    """

    kind: str
    options: dict[str, Any]
    task: str
    labels: tuple[str, ...]
    tier: str
    threads: int
    plugins: tuple[str, ...] = ()
    template: str | None = None
    answer_confidence: str | None = None

    def template_of(self, own: str | None) -> str:
        """What a model is asked: in its ``own`` template if it has one, else in the task's."""
        return own or self.template or make_task(self.task, self.plugins).template

    @property
    def confidence_of_answers(self) -> str:
        """The name of the confidence of an answer that was produced token by token."""
        return self.answer_confidence or make_task(self.task, self.plugins).confidence


class Model(ABC):
    """Answers one prompt at a time; used by one thread, in which it is also loaded.

    Its constructor takes ``config`` and the options of its kind by name.
    """

    confidence = "max_softmax"
    """Which confidence suits what this model puts out, unless the configuration names another."""
    tokens = "words"
    """What the figures of an answer's ``usage`` count; ``words``, where the model has no tokenizer."""
    needs_backend = False
    """Whether it asks an engine that runs elsewhere, over a backend link."""
    able: Collection[Ability] = ()
    """What :meth:`answer` heeds beside the last user message; a request that asks for more is refused."""

    def __init__(self, config: ModelConfig) -> None:
        """Load it.

        Raises:
            ConfigError: the configuration, a file or an engine is not as it must be.
        """
        self.config = config

    @abstractmethod
    def infer(self, text: str) -> Output:
        """Answer ``text``, whole as the user sent it; the model puts it into a template and cuts it inside.

        Raises:
            Exception: any; the request then ends as ``inference``.
        """

    def answer(self, asked: Asked) -> Output:
        """Answer a conversation with its options, as far as the model is :attr:`able`.

        By default it is the last user message alone that is answered. The end of the answer at a stop text is
        seen to by whoever asks.

        Raises:
            RequestError: the model cannot take this very conversation.
        """
        return self.infer(asked.text)

    @property
    def longest_label(self) -> int:
        """The tokens of the longest answer, where the model chooses among labels; else 0."""
        if self.config.task != "classification" or "max_tokens" in self.able:
            return 0
        return max((len(label.split()) for label in self.config.labels), default=0)

    @cached_property
    def narrowed(self) -> dict[str, Schema]:
        """What this model cannot take of a request's fields (:func:`tiers.api.fields.narrowed`)."""
        return narrowed(self.able, self.config.task, self.longest_label)

    def infer_many(self, texts: Sequence[str]) -> list[Output]:
        """Answer several texts, in their order; a model that gains by it takes them together.

        So data sets are recorded (``testbed models record``), and so a tier with ``batch`` serves what waits.
        """
        return [self.infer(text) for text in texts]

    @classmethod
    def takes_batches(cls) -> bool:
        """Whether its kind has a way of its own to answer several texts together."""
        return cls.infer_many is not Model.infer_many

    def require_batches(self) -> None:
        """Make sure that it can answer several texts together.

        Raises:
            ConfigError: it cannot.
        """
        if not self.takes_batches():
            raise ConfigError(f"model kind {self.config.kind} answers one prompt at a time; leave batch out")

    def describe(self) -> dict[str, Any]:
        """What the run's manifest should know of it."""
        return {"kind": self.config.kind, "tokens": self.tokens}


KINDS: Variants[Model] = Variants("model kind", "tiers.models", Model)


def load_model(config: ModelConfig) -> Model:
    """The model of that configuration, loaded. Only its own kind's libraries are imported.

    Raises:
        ConfigError: no such kind, options that it does not take, or it cannot be loaded.
    """
    made = KINDS.find(config.kind, config.plugins)
    options = {name: value for name, value in config.options.items() if name not in ("name", "confidence")}
    if external(config.kind):  # it may as well read them from its configuration
        known = parameters(made)
        options = {name: value for name, value in options.items() if name in known}
    return construct(f"model kind {config.kind}", made, config, options, noun="option ")
