"""What a node remembers of its requests: a record of each decision, and answers to give again."""

from __future__ import annotations

import hashlib
import math
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from tiers.api.asked import Stream
from tiers.errors import RequestError, deadline_passed
from tiers.garbage import settle_at
from tiers.protocol import COUNT_KEY, encode_json

MAX_RECORDS = 200_000
"""What a method may have of them at a node, a KiB each."""
KEPT = 10_000
"""What a node remembers of each kind, unless it is told how many requests a method has."""
TOLD_AT_A_TIME = 100
MAX_REPLIES = 4096
MAX_REPLIES_BYTES = 16 << 20
"""Of their bodies in all: one with log-probabilities may take hundreds of KiB, and a tier has tens of MiB."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(slots=True)
class Record:
    """One request at this node; durations in milliseconds, all from the host's monotonic clock.

    ``answer`` is what this node's own model said, ``None`` where it did not infer; ``made_up`` says that no
    model said it, for want of a recording (:mod:`tiers.models.recorded`). ``kept`` is the policy's decision;
    a request that was to go up but got this node's answer all the same has ``kept`` false and a
    ``forward_error``. ``queue_ms``: waiting for the model's turn, and before that for a thread, where the
    node handled as many requests as it does at a time; of it ``thread_ms``: for the thread.
    ``inference_ms``: model, confidence and policy, of the whole batch of ``batch_size`` requests that were
    inferred together (``None`` where it did not infer); of it ``backend_ms``: waiting for an engine behind
    the tier, ``None`` where none was asked or it gave no answer. ``upstream_ms``: from ``forward_began_s``
    until the answer from above was there or given up. ``repeats``: how often this node sent the request up
    again.
    ``tripped``: its failure opened a breaker (:mod:`tiers.breaker`). ``skipped``: why the tier above could
    not be reached, so that the next was asked (``forward_error`` is then the next one's); ``None`` if not.
    ``outcome``: :data:`~tiers.protocol.ANSWERED`, or the kind of the error.

    ``prompt_tokens`` and ``generated_tokens`` are the model's own count; ``None`` where it did not infer, or
    counts none.

    Moments (``_s``) are ``time.monotonic()``'s, the same for every node of a kernel: the request's last byte
    arrived; the inference ended, or its turn had been waited for in vain (``None`` if neither); forwarding
    began, with the connecting if need be; the last byte of the answer from above arrived, ``None`` if none
    did; the reply was handed to the kernel (until then, was ready).
    """

    request_id: str
    inferred: bool
    confidence: float | None
    threshold: float | None
    window_seq: int | None
    window_length: int | None
    kept: bool
    answer: str | None
    made_up: bool | None
    queue_ms: float
    thread_ms: float
    inference_ms: float
    batch_size: int | None
    backend_ms: float | None
    upstream_ms: float | None
    forward_error: str | None
    repeats: int
    tripped: bool
    skipped: str | None
    outcome: str
    arrived_s: float
    forward_began_s: float | None
    forward_answered_s: float | None
    handed_over_s: float
    prompt_tokens: int | None = None
    generated_tokens: int | None = None
    inferred_s: float | None = None

    @property
    def own_ms(self) -> float:
        """The rest of the time between the request's last byte and the answer's first: waiting for a CPU,
        HTTP, JSON.
        """
        total_ms = (self.handed_over_s - self.arrived_s) * 1000
        return total_ms - math.fsum((self.queue_ms, self.inference_ms, self.upstream_ms or 0.0))

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _FIELDS} | {"own_ms": self.own_ms}


_FIELDS = tuple(each.name for each in fields(Record))


def told_in_lines(records: Sequence[Record]) -> Iterator[bytes]:
    """Records as lines of JSON, some at a time, and a last line that says how many there are.

    So as many as there may be take no memory beside their own, here or where they are read, and who misses
    some notices it.
    """
    for start in range(0, len(records), TOLD_AT_A_TIME):
        some = records[start : start + TOLD_AT_A_TIME]
        yield b"".join(encode_json(record.as_json()) + b"\n" for record in some)
    yield encode_json({COUNT_KEY: len(records)}) + b"\n"


class Bounded(OrderedDict[K, V]):
    """A mapping in order of insertion that forgets its oldest entries and counts them."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self.forgotten = 0

    def put(self, key: K, value: V) -> None:
        self[key] = value
        self.move_to_end(key)
        if len(self) > self._limit:
            self.popitem(last=False)
            self.forgotten += 1


class Records:
    """The records since the last reset, in order of completion; one for each request id."""

    def __init__(self, limit: int = KEPT) -> None:
        self._lock = threading.Lock()
        self._records: Bounded[str, Record] = Bounded(limit)
        self._added = 0

    def add(self, record: Record) -> None:
        with self._lock:
            self._records.put(record.request_id, record)
            self._added += 1
            settle_at(self._added)

    def all(self) -> list[Record]:
        with self._lock:
            return list(self._records.values())

    def of(self, request_id: str) -> list[Record]:
        """The record of a request, if there is one."""
        with self._lock:
            return [self._records[request_id]] if request_id in self._records else []

    @property
    def forgotten(self) -> int:
        """How many records were dropped because memory is bounded; 0 in a sound run."""
        return self._records.forgotten


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back to the sender; ``record`` is the request's, and ``None`` for a repeat of it.

    ``stream``: the sender wants it as a stream; it becomes one when it leaves (:mod:`tiers.api.stream`).
    """

    status: int
    body: bytes
    record: Record | None = None
    stream: Stream | None = None

    def handed_over(self, at_s: float) -> None:
        """Note in the record when the reply left."""
        if self.record is not None:
            self.record.handed_over_s = at_s


@dataclass(frozen=True, slots=True)
class Pending:
    """A request that is being served, by the SHA-256 of its body: repeats of it wait for its reply."""

    digest: bytes
    reply: Future[Reply] = field(default_factory=Future)

    def wait(self, timeout_s: float) -> Reply:
        """Wait until the request is served, and return its reply.

        Raises:
            RequestError: it is not served in time.
        """
        try:
            return self.reply.result(max(0.0, timeout_s))
        except TimeoutError:
            raise deadline_passed("while the first request of this id was being served") from None


class Replies:
    """Makes a repeated request id harmless: it gets the answer that there is, or waits for it.

    Errors are not kept: a request that ended in one may be tried again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_flight: dict[str, Pending] = {}
        self._answered: OrderedDict[str, Pending] = OrderedDict()
        self._answered_bytes = 0

    def claim(self, request_id: str, body: bytes) -> tuple[Pending, bool]:
        """The request of that id, and whether it is new, so that the caller is to serve and settle it.

        Raises:
            RequestError: 409; the same id came before with another body.
        """
        digest = hashlib.sha256(body).digest()
        with self._lock:
            known = self._answered.get(request_id) or self._in_flight.get(request_id)
            if known is None:
                pending = self._in_flight[request_id] = Pending(digest)
                return pending, True
        if known.digest != digest:
            raise RequestError(409, "conflict", f"request id {request_id} came before with another body")
        return known, False

    def settle(self, request_id: str, pending: Pending, reply: Reply) -> None:
        """Give ``reply`` to all who wait, and keep it if it is an answer."""
        with self._lock:
            pending.reply.set_result(reply)
            self._in_flight.pop(request_id, None)
            if reply.status == 200:
                self._answered[request_id] = pending
                self._answered_bytes += len(reply.body)
            while len(self._answered) > MAX_REPLIES or self._answered_bytes > MAX_REPLIES_BYTES:
                _, oldest = self._answered.popitem(last=False)
                self._answered_bytes -= len(oldest.reply.result().body)
