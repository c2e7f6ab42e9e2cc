"""One model, one thread, one inference at a time, first come first served."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from tiers.chat import FinishReason, Usage
from tiers.confidence import Confidence, confidence_in, make_confidence
from tiers.errors import RequestError, deadline_passed
from tiers.models.base import Model, ModelConfig, Output, load_model
from tiers.policies import KEEP, Decision

Value = TypeVar("Value")
Decide = Callable[[float], Decision]
"""What becomes of an answer with that confidence."""


@dataclass(frozen=True, slots=True)
class Inference:
    """An answer with its confidence, the policy's decision on it, and the times it took.

    ``made_up`` says that no model gave the answer. ``backend_ms``, of ``inference_ms``, is how long an engine
    behind the tier was waited for; ``None`` without one.
    """

    answer: str
    confidence: float
    made_up: bool
    decision: Decision
    usage: Usage
    finish: FinishReason
    queue_ms: float
    inference_ms: float
    backend_ms: float | None = None


def usage(text: str, output: Output) -> Usage:
    """The tokens of a prompt and its answer: the model's own count, or else words (split at white space)."""
    read, made = output.prompt_tokens, output.completion_tokens
    return Usage(
        len(text.split()) if read is None else read, len(output.answer.split()) if made is None else made
    )


class InferenceQueue:
    """Loads a model in a thread of its own and serves it there: torch's settings belong to a thread.

    The policy decides in that thread too, right after the inference, so that confidences enter its window
    in the order of inference, however many requests are in the queue.
    """

    def __init__(self, config: ModelConfig, confidence: str | None) -> None:
        self._config = config
        self._confidence_name = confidence
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inference")
        self._loaded: tuple[Model, Confidence] | None = None

    def load(self) -> Future[None]:
        """Start to load the model; the future holds what went wrong, if anything did."""
        return self._thread.submit(self._load)

    def _load(self) -> None:
        model = load_model(self._config)
        name = self._confidence_name or model.confidence
        self._loaded = model, make_confidence(name, self._config.plugins)

    @property
    def ready(self) -> bool:
        return self._loaded is not None

    def describe(self) -> dict[str, Any]:
        """What the model says of itself; only its kind while it is being loaded."""
        return {"kind": self._config.kind} if self._loaded is None else self._loaded[0].describe()

    def infer(self, text: str, decide: Decide | None, deadline: float) -> Inference:
        """Wait for the turn, infer, and let ``decide`` say what becomes of the answer; ``None`` keeps it.

        An inference that has begun is waited for, since its confidence enters the window: at worst the
        answer is late by one inference. One that has not begun at the deadline never will.

        Raises:
            RequestError: ``not_ready``, ``deadline``, or ``inference`` if the model failed.
        """
        if not self.ready:
            raise RequestError(503, "not_ready", "the model is still being loaded")
        submitted = time.monotonic()
        future = self._thread.submit(self._work, text, decide, submitted)
        try:
            return future.result(timeout=max(0.0, deadline - submitted))
        except TimeoutError:
            if future.cancel():
                raise deadline_passed("in the inference queue") from None
        return future.result()

    def _work(self, text: str, decide: Decide | None, submitted: float) -> Inference:
        started = time.monotonic()
        try:
            output, confidence = self._answer(text)
            decision = KEEP if decide is None else decide(confidence)
        except Exception as error:  # whatever a model, a confidence or a plug-in raises
            raise RequestError(500, "inference", f"{type(error).__name__}: {error}") from error
        done = time.monotonic()
        return Inference(
            output.answer,
            confidence,
            output.made_up,
            decision,
            usage(text, output),
            "length" if output.cut_off else "stop",
            queue_ms=(started - submitted) * 1000,
            inference_ms=(done - started) * 1000,
            backend_ms=output.backend_ms,
        )

    def _answer(self, text: str) -> tuple[Output, float]:
        assert self._loaded is not None, "checked before it was queued"
        model, measure = self._loaded
        output = model.infer(text)
        return output, confidence_in(output, measure)

    def between(self, act: Callable[[], Value]) -> Value:
        """Call ``act`` between two inferences, in their thread: what policies keep is that thread's alone."""
        return self._thread.submit(act).result()

    def close(self) -> None:
        """Take no more work; what waits is dropped."""
        self._thread.shutdown(wait=False, cancel_futures=True)
