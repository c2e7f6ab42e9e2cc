"""What a tier asks of a model, and how one is found by the name of its kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tiers import plain
from tiers.api.asked import Asked
from tiers.api.fields import Ability, narrowed
from tiers.api.schema import Schema
from tiers.errors import ConfigError
from tiers.parameters import construct, parameters
from tiers.plugins import external
from tiers.protocol import MAX_ANSWER_BYTES
from tiers.tasks import make_task
from tiers.variants import Variants

LEAST_LOGPROB = -9999.0
"""The OpenAI API's log-probability of a token that is very unlikely."""


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


def plain_output(found: object) -> Output:
    """What a model gave as an answer, with values that JSON and a run's tables can hold.

    Its confidence stays as it is, for :func:`tiers.confidence.confidence_in` to look at.

    Raises:
        ValueError: it is no :class:`Output`, one of its values is not what it must be, or the answer is
            longer than whoever asks reads.
    """
    if not isinstance(found, Output):
        raise ValueError(f"the model gave an answer of type {type(found).__name__}, and no Output")
    return Output(
        plain.bounded_text(found.answer, "the answer", MAX_ANSWER_BYTES),
        plain.maybe(_numbers, found.logits, "one of the logits"),
        plain.maybe(_numbers, found.token_logprobs, "one of the token_logprobs"),
        found.confidence,
        plain.maybe(plain.count, found.prompt_tokens, "prompt_tokens"),
        plain.maybe(plain.count, found.completion_tokens, "completion_tokens"),
        cut_off=plain.truth(found.cut_off, "cut_off"),
        made_up=plain.truth(found.made_up, "made_up"),
        backend_ms=plain.maybe(plain.finite, found.backend_ms, "backend_ms"),
        logprobs=None if found.logprobs is None else list(map(_entry, found.logprobs)),
    )


def _numbers(found: Any, what: str) -> list[float]:
    return [plain.number(value, what) for value in found]


def _entry(token: Mapping[str, Any]) -> dict[str, Any]:
    """A token of ``logprobs``, with the others that were likely beside it."""
    return {**_token(token), "top_logprobs": list(map(_token, token["top_logprobs"]))}


def _token(token: Mapping[str, Any]) -> dict[str, Any]:
    spelt, what = token["bytes"], "the logprob of a token"
    logprob = max(plain.number(token["logprob"], what), LEAST_LOGPROB)  # JSON has no -Infinity
    return {
        "token": plain.text(token["token"], "a token of the answer"),
        "logprob": plain.finite(logprob, what),
        "bytes": None if spelt is None else [plain.count(byte, "a byte of a token") for byte in spelt],
    }


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

        Scalars of numpy and torch may stand for numbers (:func:`plain_output`).

        Raises:
            BaseException: any; the request then ends as ``inference``, and nothing else does.
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


def described(model: Model) -> dict[str, Any]:
    """What a model that has just been loaded says of itself, as JSON has it.

    Raises:
        ConfigError: it cannot say it, or what it cannot take; it would fail later, and not by name.
    """
    try:
        about, _ = plain.structure(model.describe()), model.narrowed
        if not isinstance(about, dict):
            raise TypeError("describe gives no mapping")
    except (Exception, SystemExit) as error:
        words = f"{type(model).__name__} cannot say what it is ({plain.told(error)})"
        raise ConfigError(words) from error
    return about
