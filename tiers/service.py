"""A tier at work: infer → confidence → keep or offload, with a record of each decision."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from tiers.chat import Step, error_kind, prepend_step, read_prompt, write_answer
from tiers.config import NodeConfig
from tiers.errors import RequestError, deadline_passed, error_body
from tiers.ids import ShortIds
from tiers.inference import Decide, Inference, InferenceQueue
from tiers.metrics import Metrics
from tiers.policies import Decision, Policy, Request, make_policy
from tiers.protocol import ANSWERED
from tiers.records import Record, Records, Replies, Reply
from tiers.upstream import CONNECT_S, Crossing, Upstream

MAX_REQUEST_S = 600.0
"""For a request that came without a deadline: nothing may wait for ever."""

RELAY = Decision(keep=False)
"""What a request has as its decision until the policy makes one."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request as it arrived; times on ``time.monotonic()``'s clock.

    ``waited_ms``: since then it waited for a thread that another request held.
    """

    request_id: str
    body: bytes
    arrived: float
    deadline: float
    waited_ms: float = 0.0


@dataclass(frozen=True)
class Method:
    """All that belongs to one method and goes when the next begins."""

    name: str
    policy: Policy
    ids: ShortIds = field(default_factory=ShortIds)
    records: Records = field(default_factory=Records)
    replies: Replies = field(default_factory=Replies)
    metrics: Metrics = field(default_factory=Metrics)


@dataclass(slots=True)
class Course:
    """What happens to one request, filled in on its way; becomes its record."""

    own: Inference | None = None
    decision: Decision = RELAY
    queue_ms: float = 0.0
    crossing: Crossing = field(default_factory=Crossing)
    upstream_ms: float | None = None
    forward_error: str | None = None


class Service:
    """One node. Methods may be called from many threads at a time."""

    def __init__(self, config: NodeConfig) -> None:
        self.config = config
        self.queue = InferenceQueue(config.model, config.confidence)
        self.upstream = (
            None
            if config.parent is None
            else Upstream(config.parent, config.request_threads, CONNECT_S + config.round_trip_s)
        )
        self._method = self._new_method("start", config.policy)

    def _new_method(self, name: str, policy: Mapping[str, Any]) -> Method:
        return Method(name, make_policy(policy, self.config.place, self.config.plugins))

    @property
    def method(self) -> Method:
        """The method that runs now, with its records, replies and metrics."""
        return self._method

    def reset(self, name: str, policy: Mapping[str, Any]) -> None:
        """Begin a method with an empty window, no connections, no answers, records or counts.

        Requests under way end under the method that they began with.

        Raises:
            ConfigError: the policy cannot be made; the old method stays.
        """
        self._method = self._new_method(name, policy)
        self.disconnect()

    def disconnect(self) -> None:
        """Close the connections to the tier above."""
        if self.upstream is not None:
            self.upstream.disconnect()

    def infer_apart(self, texts: list[str]) -> list[Inference]:
        """Infer each text, outside any window and without the tiers above: to warm up, and to calibrate.

        Raises:
            RequestError: the model is not ready, or fails.
        """
        deadline = time.monotonic() + MAX_REQUEST_S
        return [self.queue.infer(text, None, deadline) for text in texts]

    def handle(self, request: Incoming) -> Reply:
        """Answer a request, or give the answer that its id got before.

        Raises:
            RequestError: it ends without an answer.
        """
        method = self._method
        pending, new = method.replies.claim(request.request_id, request.body)
        if not new:
            return replace(pending.wait(request.deadline - time.monotonic()), record=None)
        reply = Reply(500, error_body("internal", "the request was abandoned"))
        try:
            reply = self._serve(method, request)
        finally:
            method.replies.settle(request.request_id, pending, reply)
        return reply

    def _serve(self, method: Method, request: Incoming) -> Reply:
        course = Course(queue_ms=request.waited_ms)
        try:
            reply = self._run(method.policy, request, course)
        except RequestError as error:
            reply = Reply(error.status, error.body)
        except Exception:
            log.exception("request %s", request.request_id)
            reply = Reply(500, error_body("internal", "a defect of the tier; its log says more"))
        outcome = ANSWERED if reply.status == 200 else error_kind(reply.body)
        record = _record(request, course, outcome)
        method.records.add(record)
        method.metrics.count(record)
        return replace(reply, record=record)

    def _run(self, policy: Policy, request: Incoming, course: Course) -> Reply:
        if policy.infers or self.upstream is None:
            text = read_prompt(request.body)
            asked = Request(request.request_id, len(text.encode()))
            if self.upstream is None:
                self._infer(text, None, request, course)
            elif not policy.passes_on(asked):
                self._infer(text, partial(policy.judge, asked), request, course)
        if not course.decision.keep and (answer := self._forward(request, course)) is not None:
            return answer
        return self._own_answer(request, course)

    def _infer(self, text: str, decide: Decide | None, request: Incoming, course: Course) -> None:
        if request.deadline <= time.monotonic():
            raise deadline_passed("before the request came to its turn")
        queued = time.monotonic()
        try:
            course.own = self.queue.infer(text, decide, request.deadline)
        finally:
            own = course.own
            course.queue_ms += own.queue_ms if own else (time.monotonic() - queued) * 1000
        course.decision = own.decision

    def _own_answer(self, request: Incoming, course: Course) -> Reply:
        own = course.own
        assert own is not None, "a node that does not infer got an answer or an error from above"
        body = write_answer(
            request.request_id,
            self.config.model_name,
            own.answer,
            own.usage,
            own.finish,
            self.config.place.tier,
            self._step(course),
        )
        return Reply(200, body)

    def _forward(self, request: Incoming, course: Course) -> Reply | None:
        """The reply from above; ``None`` if there is none and this node has an answer of its own.

        Raises:
            RequestError: there is none and this node has no answer either.
        """
        assert self.upstream is not None, "a node without a tier above infers and keeps"
        crossing = course.crossing
        try:
            answer = self.upstream.forward(request.body, request.request_id, request.deadline, crossing)
            if answer.status == 200:
                return Reply(200, prepend_step(answer.body, self._step(course)))
            course.forward_error = error_kind(answer.body)
            return None if course.own else answer
        except RequestError as error:
            course.forward_error = error.kind
            if course.own is None:
                raise
            return None
        finally:
            if crossing.began_s is not None:
                ended_s = time.monotonic() if crossing.answered_s is None else crossing.answered_s
                course.upstream_ms = (ended_s - crossing.began_s) * 1000

    def _step(self, course: Course) -> Step:
        confidence = course.own.confidence if course.own else None
        decision = course.decision
        return Step(self.config.place.node, confidence, decision.threshold, decision.keep)


def _record(request: Incoming, course: Course, outcome: str) -> Record:
    own, decision = course.own, course.decision
    return Record(
        request_id=request.request_id,
        inferred=own is not None,
        confidence=own.confidence if own else None,
        threshold=decision.threshold,
        window_seq=decision.window_seq,
        window_length=decision.window_length,
        kept=decision.keep,
        answer=own.answer if own else None,
        made_up=own.made_up if own else None,
        queue_ms=course.queue_ms,
        thread_ms=request.waited_ms,
        inference_ms=own.inference_ms if own else 0.0,
        upstream_ms=course.upstream_ms,
        forward_error=course.forward_error,
        repeats=course.crossing.repeats,
        outcome=outcome,
        arrived_s=request.arrived,
        forward_began_s=course.crossing.began_s,
        forward_answered_s=course.crossing.answered_s,
        handed_over_s=time.monotonic(),
    )
