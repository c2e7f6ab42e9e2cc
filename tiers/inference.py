"""One model, one thread: first come first served, one inference at a time or several as one batch."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from tiers.api.asked import Asked
from tiers.api.schema import Schema
from tiers.chat import FinishReason, Logprobs, Usage
from tiers.confidence import Confidence, confidence_in, make_confidence
from tiers.errors import RequestError, deadline_passed, inference_failed
from tiers.models.base import Model, ModelConfig, Output, described, load_model, plain_output
from tiers.plain import told
from tiers.policies import KEEP, Decision

Value = TypeVar("Value")
Decide = Callable[[float], Decision]
"""What becomes of an answer with that confidence."""


class Batching(NamedTuple):
    """How many requests a model answers together at most, and how long the first waits for others."""

    size: int = 1
    wait_s: float = 0.0


ALONE = Batching()

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Inference:
    """An answer with its confidence, the policy's decision on it, and the times it took until ``ended_s``.

    ``made_up`` says that no model gave the answer. ``batch_size`` is how many were inferred together, this
    one included: they all have the same ``inference_ms``, from the batch's start until all were decided.
    ``backend_ms``, of ``inference_ms``, is how long an engine behind the tier was waited for; ``None``
    without one.
    """

    answer: str
    confidence: float
    made_up: bool
    decision: Decision
    usage: Usage
    finish: FinishReason
    queue_ms: float
    inference_ms: float
    ended_s: float
    batch_size: int = 1
    backend_ms: float | None = None
    logprobs: Logprobs | None = None


class Words(Usage):
    """Words (split at white space) of which some stand for tokens, which the model does not count."""

    __slots__ = ()


def usage(text: str, output: Output) -> Usage:
    """The tokens of a prompt and its answer: the model's own count, or else words."""
    read, made = output.prompt_tokens, output.completion_tokens
    if read is not None and made is not None:
        return Usage(read, made)
    return Words(
        len(text.split()) if read is None else read, len(output.answer.split()) if made is None else made
    )


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What is asked, in the queue, and where its inference will be."""

    asked: Asked
    decide: Decide | None
    deadline: float = math.inf
    submitted: float = field(default_factory=time.monotonic)
    future: Future[Inference] = field(default_factory=Future)


class _Decided(NamedTuple):
    output: Output
    answer: str
    used: Usage
    confidence: float
    decision: Decision


class InferenceQueue:
    """Loads a model in a thread of its own and serves it there: torch's settings belong to a thread.

    What waits when the model is free, up to a batch of it, is inferred together; if that is less than a
    batch, the thread waits for more until the first of them has waited for ``wait_s``. A conversation, or a
    wish that the model heeds, is alone. The policy decides in that thread too, right after the inference, on
    one answer after another in the order in which the requests came: so confidences enter its window in the
    order of inference, however many requests are in the queue.
    """

    def __init__(self, config: ModelConfig, confidence: str | None, batching: Batching = ALONE) -> None:
        self._config = config
        self._confidence_name = confidence
        self._batching = batching
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inference")
        self._loaded: tuple[Model, Confidence] | None = None
        self._about: dict[str, Any] = {"kind": config.kind}
        self._waiting: deque[_Waiting] = deque()
        self._came = threading.Condition()

    def load(self) -> Future[None]:
        """Start to load the model; the future holds what went wrong, if anything did."""
        return self._thread.submit(self._load)

    def _load(self) -> None:
        model = load_model(self._config)
        if self._batching.size > 1:
            model.require_batches()
        name = self._confidence_name or model.confidence
        measure = make_confidence(name, self._config.plugins)
        self._about = described(model)
        self._loaded = model, measure

    @property
    def ready(self) -> bool:
        return self._loaded is not None

    def describe(self) -> dict[str, Any]:
        """What the model says of itself; only its kind while it is being loaded."""
        return self._about

    @property
    def narrowed(self) -> Mapping[str, Schema]:
        """What the model cannot take of a request's fields; nothing is known of one that is not loaded."""
        return {} if self._loaded is None else self._loaded[0].narrowed

    def infer(self, asked: Asked, decide: Decide | None, deadline: float) -> Inference:
        """Wait for the turn, infer, and let ``decide`` say what becomes of the answer; ``None`` keeps it.

        An inference that has begun is waited for, since its confidence enters the window: at worst the
        answer is late by one inference, or by its batch. One that has not begun at the deadline never will.

        Raises:
            RequestError: ``not_ready``, ``deadline``, or ``inference`` if the model failed.
        """
        self._require_ready()
        one = _Waiting(asked, decide, deadline)
        with self._came:
            self._thread.submit(self._turn)  # as many turns as texts, each of which takes one at least
            self._waiting.append(one)
            self._came.notify()
        try:
            return one.future.result(timeout=max(0.0, deadline - one.submitted))
        except TimeoutError:
            if one.future.cancel():
                raise deadline_passed("in the inference queue") from None
        return one.future.result()

    def infer_alone(self, text: str) -> Inference:
        """Infer a text in no batch, without waiting for others, and keep the answer.

        Raises:
            RequestError: ``not_ready``, or ``inference`` if the model failed.
        """
        self._require_ready()
        one = _Waiting(Asked.plainly(text), None)
        self._thread.submit(self._serve, [one]).result()
        return one.future.result()

    def _require_ready(self) -> None:
        if not self.ready:
            raise RequestError(503, "not_ready", "the model is still being loaded")

    def _turn(self) -> None:
        """Serve a batch of what waits, or nothing if earlier turns have taken it all along."""
        with self._came:
            taken = self._taken()
        if batch := [one for one in taken if one.future.set_running_or_notify_cancel()]:
            self._serve(batch)

    def _taken(self) -> list[_Waiting]:
        """The first that waits, and as many behind it as can be asked together with it."""
        waiting, size = self._waiting, self._batching.size
        if size > 1 and waiting and self._joins(waiting[0]):
            longest_s = waiting[0].submitted + self._batching.wait_s - time.monotonic()
            self._came.wait_for(
                lambda: len(waiting) >= size or not all(map(self._joins, waiting)), max(0.0, longest_s)
            )
        taken: list[_Waiting] = []
        while waiting and len(taken) < size:
            if taken and not (self._joins(taken[0]) and self._joins(waiting[0])):
                break
            taken.append(waiting.popleft())
        return taken

    def _joins(self, one: _Waiting) -> bool:
        """Whether it may be in a batch: the model is asked for its text, and for no more."""
        return one.asked.is_plain or not self._known[0].able

    def _serve(self, batch: Sequence[_Waiting]) -> None:
        """Infer a batch, and one by one if that fails: a text that cannot be answered fails no other."""
        started = time.monotonic()
        try:
            outputs = self._outputs([one.asked for one in batch])
        except BaseException as error:  # whatever a model or a plug-in raises; nobody may wait for ever
            if len(batch) == 1:
                batch[0].future.set_exception(inference_failed(error))
                return
            log.warning("a batch of %d failed and is asked one by one: %s", len(batch), told(error))
            for one in batch:
                if time.monotonic() < one.deadline:
                    self._serve([one])
                else:
                    one.future.set_exception(deadline_passed("while its batch failed"))
            return
        decided = [self._decided(one, output) for one, output in zip(batch, outputs, strict=True)]
        done = time.monotonic()
        for one, found in zip(batch, decided, strict=True):
            if isinstance(found, RequestError):
                one.future.set_exception(found)
            else:
                one.future.set_result(_inference(one, found, started, done, len(batch)))

    def _outputs(self, asked: Sequence[Asked]) -> Sequence[object]:
        model, _ = self._known
        if len(asked) == 1:
            (one,) = asked
            return [model.infer(one.text) if one.is_plain else model.answer(one)]
        outputs = model.infer_many([one.text for one in asked])
        if len(outputs) != len(asked):
            raise ValueError(f"{len(outputs)} answers to {len(asked)} texts")
        return outputs

    def _decided(self, one: _Waiting, found: object) -> _Decided | RequestError:
        try:
            if isinstance(found, Output) and found.answer is None:  # a plug-in's
                raise RequestError(500, "malformed", "the model answered nothing")
            output = plain_output(found)
            answer, used = one.asked.options.ended(output.answer), usage(one.asked.text, output)
            confidence = confidence_in(output, self._known[1])
            decision = KEEP if one.decide is None else one.decide(confidence)
            return _Decided(output, answer, used, confidence, decision)
        except BaseException as error:  # as above, of an answer, a confidence or a policy
            return inference_failed(error)

    @property
    def _known(self) -> tuple[Model, Confidence]:
        assert self._loaded is not None, "checked before anything is queued"
        return self._loaded

    def between(self, act: Callable[[], Value]) -> Value:
        """Call ``act`` between two batches, in their thread: what policies keep is that thread's alone."""
        return self._thread.submit(act).result()

    def close(self) -> None:
        """Take no more work; what waits is dropped."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        with self._came:
            while self._waiting:
                self._waiting.popleft().future.cancel()


def _inference(one: _Waiting, decided: _Decided, started: float, done: float, size: int) -> Inference:
    output = decided.output
    return Inference(
        decided.answer,
        decided.confidence,
        output.made_up,
        decided.decision,
        decided.used,
        "length" if output.cut_off else "stop",
        queue_ms=(started - one.submitted) * 1000,
        inference_ms=(done - started) * 1000,
        ended_s=done,
        batch_size=size,
        backend_ms=output.backend_ms,
        logprobs=output.logprobs,
    )
