"""A tier at work: infer → confidence → keep or offload, with a record of each decision."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from tiers.api.asked import ChatRequest, read_request
from tiers.breaker import OWN_STATUSES, sign_of
from tiers.chat import Step, error_kind, prepend_step, write_answer
from tiers.config import NodeConfig
from tiers.errors import RequestError, deadline_passed, defect, error_body, inference_failed
from tiers.garbage import settle
from tiers.ids import ShortIds
from tiers.inference import Batching, Decide, Inference, InferenceQueue, Words
from tiers.metrics import Metrics
from tiers.policies import Decision, Policy, Request, make_policy, plain_decision, tier_of
from tiers.protocol import ANSWERED, ANY_MODEL
from tiers.records import KEPT, Record, Records, Replies, Reply
from tiers.upstream import Crossing, Upstream

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
    """All that belongs to one method and goes when the next begins.

    ``entered``: the confidences that entered the policy's window and that nobody has asked for yet.
    """

    name: str
    policy: Policy
    entered: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    skips: bool = False
    """Whether a tier above that cannot be reached is skipped: not if it alone is to serve."""
    ids: ShortIds = field(default_factory=ShortIds)
    records: Records = field(default_factory=Records)
    replies: Replies = field(default_factory=Replies)
    metrics: Metrics = field(default_factory=Metrics)

    def asks_here(self, request_id: str, chat: ChatRequest) -> Request | None:
        """What the policy is told of a request that is inferred here; ``None`` of one that just goes up.

        Raises:
            RequestError: ``inference``; the policy failed.
        """
        try:
            if not self.policy.infers:
                return None
            shown = chat.asked.text if "prompt" in self.policy.knows else None
            told = Request(request_id, chat.asked.prompt_bytes, shown)
            return None if self.policy.passes_on(told) else told
        except BaseException as error:  # whatever a plug-in raises; nobody may wait for ever
            raise inference_failed(error) from error

    def judge(self, asked: Request, confidence: float) -> Decision:
        """The policy's decision; called in the thread of inferences."""
        decision = plain_decision(self.policy.judge(asked, confidence))
        if decision.window_seq is not None:
            self.entered.append(confidence)
        return decision

    def share(self, confidences: Sequence[float]) -> list[float]:
        """Take in what entered the window at other nodes of the tier; return what entered it here since."""
        for confidence in confidences:
            self.policy.observe(confidence)
        entered = list(self.entered)
        self.entered.clear()
        return entered


@dataclass(slots=True)
class Course:
    """What happens to one request, filled in on its way; becomes its record."""

    own: Inference | None = None
    decision: Decision = RELAY
    queue_ms: float = 0.0
    inferred_s: float | None = None
    crossing: Crossing = field(default_factory=Crossing)
    upstream_ms: float | None = None
    forward_error: str | None = None
    skipped: str | None = None


class Service:
    """One node. Methods may be called from many threads at a time."""

    def __init__(self, config: NodeConfig) -> None:
        self.config = config
        batching = Batching(config.batch, config.batch_wait_s)
        self.queue = InferenceQueue(config.model, config.confidence, batching)
        self.upstream = (
            None
            if config.parent is None
            else Upstream(config.parent, config.request_threads, config.round_trip_s)
        )
        self.past = (
            None
            if config.past is None
            else Upstream(config.past, config.request_threads, config.past_round_trip_s)
        )
        self._method = self._new_method("start", config.policy, config.requests)

    def _new_method(self, name: str, policy: Mapping[str, Any], requests: int) -> Method:
        place = self.config.place
        made = make_policy(policy, place, self.config.plugins)
        skips = self.past is not None and tier_of(policy["policy"]) != place.tiers[place.level + 1]
        return Method(name, made, skips=skips, records=Records(requests))

    @property
    def models(self) -> tuple[str, ...]:
        """The names under which a user may ask this node: its own model's, and the one for any."""
        return tuple(dict.fromkeys((self.config.model_name, ANY_MODEL)))

    @property
    def method(self) -> Method:
        """The method that runs now, with its records, replies and metrics."""
        return self._method

    def reset(
        self,
        name: str,
        policy: Mapping[str, Any],
        round_trip_s: float | None = None,
        past_round_trip_s: float | None = None,
        requests: int = KEPT,
    ) -> None:
        """Begin a method with an empty window, no connections, a new breaker, no answers, records or counts.

        Requests under way end under the method that they began with. The longest round trips are those of
        before, where others are not given. Records are kept of the last so many ``requests``.

        Raises:
            ConfigError: the policy cannot be made; the old method stays.
        """
        self._method = self._new_method(name, policy, requests)
        for way, longest_s in ((self.upstream, round_trip_s), (self.past, past_round_trip_s)):
            if way is not None:
                way.reset(longest_s)
        settle()  # what loading a model left is not walked while requests are timed

    def disconnect(self) -> None:
        """Close the connections to the tiers above."""
        for way in self._ways:
            way.disconnect()

    @property
    def _ways(self) -> list[Upstream]:
        return [way for way in (self.upstream, self.past) if way is not None]

    def share(self, confidences: Sequence[float]) -> list[float]:
        """Take in the confidences that entered the window at other nodes of the tier.

        Returns those that entered it here since this was last asked, in order; first, whatever is being
        inferred ends.

        Raises:
            ValueError: the policy's window is this node's alone.
        """
        return self.queue.between(partial(self._method.share, confidences))

    def infer_apart(self, texts: list[str]) -> list[Inference]:
        """Infer each text, outside any window and without the tiers above: to warm up, and to calibrate.

        Each is alone, whatever batches the tier serves in.

        Raises:
            RequestError: the model is not ready, or fails.
        """
        return [self.queue.infer_alone(text) for text in texts]

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
            reply = self._run(method, request, course)
        except RequestError as error:
            if error.kind == "inference":
                log.warning("request %s: %s", request.request_id, error, exc_info=error.__cause__)
            reply = Reply(error.status, error.body)
        except BaseException:
            log.exception("request %s", request.request_id)
            reply = Reply(500, defect(self.config.place.node).body)
        outcome = ANSWERED if reply.status == 200 else error_kind(reply.body)
        record = _record(request, course, outcome)
        method.records.add(record)
        method.metrics.count(record)
        return replace(reply, record=record)

    def _run(self, method: Method, request: Incoming, course: Course) -> Reply:
        chat = read_request(request.body, self.models)
        if self.upstream is None:
            self._infer(chat, None, request, course)
        elif (told := method.asks_here(request.request_id, chat)) is not None:
            self._infer(chat, partial(method.judge, told), request, course)
        reply = None
        if not course.decision.keep:
            reply = self._forward(replace(request, body=chat.upward()), course, method.skips)
        return replace(reply or self._own_answer(request, course), stream=chat.stream)

    def _infer(self, chat: ChatRequest, decide: Decide | None, request: Incoming, course: Course) -> None:
        if request.deadline <= time.monotonic():
            raise deadline_passed("before the request came to its turn")
        chat.require(self.queue.narrowed)
        queued = time.monotonic()
        try:
            course.own = self.queue.infer(chat.asked, decide, request.deadline)
        finally:
            own = course.own
            course.inferred_s = own.ended_s if own else time.monotonic()
            course.queue_ms += own.queue_ms if own else (course.inferred_s - queued) * 1000
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
            degraded=course.forward_error is not None,
            logprobs=own.logprobs,
        )
        return Reply(200, body)

    def _forward(self, request: Incoming, course: Course, skips: bool) -> Reply | None:
        """The reply from above; ``None`` if there is none and this node has an answer of its own.

        Raises:
            RequestError: there is none and this node has no answer either.
        """
        crossing = course.crossing
        try:
            answer = self._reach(request, course, skips)
            if answer.status == 200:
                return Reply(200, prepend_step(answer.body, self._step(course)))
            course.forward_error = error_kind(answer.body)
            if course.own is not None:
                return None
            return replace(answer, status=502) if answer.status in OWN_STATUSES else answer
        except RequestError as error:
            course.forward_error = error.kind
            if course.own is None:
                raise
            return None
        finally:
            if crossing.began_s is not None:
                ended_s = time.monotonic() if crossing.answered_s is None else crossing.answered_s
                course.upstream_ms = (ended_s - crossing.began_s) * 1000

    def _reach(self, request: Incoming, course: Course, skips: bool) -> Reply:
        """The reply of the tier above; of the next, if the method ``skips`` one that cannot be reached.

        A request whose time ran out while it was waited for has none left for another tier.

        Raises:
            RequestError: none came.
        """
        assert self.upstream is not None, "a node without a tier above infers and keeps"
        asked = request.body, request.request_id, request.deadline, course.crossing
        try:
            answer = self.upstream.forward(*asked)
            if not skips or sign_of(answer) == "alive":
                return answer
            course.skipped = error_kind(answer.body)
        except RequestError as error:
            if not skips or error.kind == "deadline":
                raise
            course.skipped = error.kind
        assert self.past is not None, "a method skips where there is somebody to ask"
        course.crossing.answered_s = None  # an error may have come: the answer that counts is the next one's
        return self.past.forward(*asked)

    def _step(self, course: Course) -> Step:
        confidence = course.own.confidence if course.own else None
        decision = course.decision
        return Step(self.config.place.node, confidence, decision.threshold, decision.keep)


def _record(request: Incoming, course: Course, outcome: str) -> Record:
    own, decision = course.own, course.decision
    counted = own.usage if own and not isinstance(own.usage, Words) else None
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
        batch_size=own.batch_size if own else None,
        backend_ms=own.backend_ms if own else None,
        upstream_ms=course.upstream_ms,
        forward_error=course.forward_error,
        repeats=course.crossing.repeats,
        tripped=course.crossing.tripped,
        skipped=course.skipped,
        outcome=outcome,
        arrived_s=request.arrived,
        inferred_s=course.inferred_s,
        forward_began_s=course.crossing.began_s,
        forward_answered_s=course.crossing.answered_s,
        handed_over_s=time.monotonic(),
        prompt_tokens=counted.prompt_tokens if counted else None,
        generated_tokens=counted.completion_tokens if counted else None,
    )
