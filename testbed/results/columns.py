"""The columns of a run directory's tables: a class for each table, its fields in the order of the columns.

A field that may be null says ``| None``. In runs of schema version 1 some others are null too, as their
documentation says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import pyarrow as pa

Row = Mapping[str, Any]
"""A row of a table that was read: its values by column."""

SCHEMA_VERSION = 6
"""Version of the run directory's format. Earlier ones lack the columns that are said to be null there."""


@dataclass(frozen=True)
class RequestRow:
    """One request under one method, a row of ``requests.parquet``.

    Times ``_s`` are seconds since the method's start. Lists have one entry for each node that the request
    reached, the device first; a node that only relayed has nulls for what it did not decide.

    ``hop_…`` lists have one entry for each of ``hops``: one fewer than ``path``, or as many if the last node
    sent the request up and the one above never recorded it. A node that was skipped is not on ``path``, and
    both its links are among ``hops``. Bytes are the captures': those that crossed,
    whole or not, repeats left out. Summed over a method's requests they are a link's ``prompt_bytes`` up and
    ``answer_bytes`` down, except for its ``unattributed_bytes``.

    ``latency_ms`` is the sum of ``lateness_ms``, ``queue_ms``, ``inference_ms``, ``own_ms``, ``hop_up_ms``,
    ``hop_down_ms`` and ``unexplained_ms`` (:mod:`testbed.results.times`).
    """

    request_id: str
    method: str
    device: str
    scheduled_at_s: float
    sent_at_s: float
    done_at_s: float
    latency_ms: float
    """From ``scheduled_at_s`` to ``done_at_s``."""
    tier: str | None
    """The tier whose answer the device returned."""
    path: list[str]
    """The nodes that recorded the request."""
    confidences: list[float | None]
    thresholds: list[float | None]
    window_seqs: list[int | None]
    """At which number, from 0, the confidence entered the node's window (of a shared one, the tier's)."""
    window_lengths: list[int | None]
    kept: list[bool]
    """The policy's decision: to keep the node's own answer, or to send the request up."""
    node_answers: list[str | None]
    """What the node's own model answered."""
    queue_ms: list[float]
    """Wait for the model, and before that for a free thread."""
    inference_ms: list[float]
    """Model, confidence and policy; of a batch, the whole batch's, for each of its requests."""
    own_ms: list[float]
    """The rest of the node's time: waiting for a CPU, HTTP, JSON."""
    upstream_ms: list[float | None]
    """The whole wait for the node above: the hop up, all that happened above, and the hop down."""
    forward_errors: list[str | None]
    """Why the way up failed; null where it did not."""
    repeats: list[int]
    """How often the node sent the request up again."""
    hops: list[str]
    """The WAN links that the request tried, the device's first."""
    hop_prompt_bytes: list[int]
    hop_answer_bytes: list[int]
    lateness_ms: float
    """How long after ``scheduled_at_s`` the request was sent."""
    hop_up_ms: list[float | None]
    """Time up a hop, connecting included; null where its upper node never recorded the request."""
    hop_down_ms: list[float | None]
    """Time down a hop; null as ``hop_up_ms``, where the answer never came down, and where the lower node
    asked past the upper one.
    """
    unexplained_ms: float
    """The rest of the latency: the exchange with the device, and what of the hops was not recorded."""
    lives: list[int]
    """How often an event had killed the node's process before: its window began anew."""
    answer: str | None
    reference: str
    correct: bool
    """Whether the answer is the reference to the letter, whatever the task."""
    outcome: str
    made_up: list[bool | None]
    """Whether no model gave the node's answer and confidence, for want of a recording; null in runs of schema
    version 1 and 2.
    """
    prompt_bytes: int
    """Length of the prompt in UTF-8; null in runs of schema version 1 and 2."""
    score: float | None
    """How good the answer is by the task's own rule, from 0 to 1; 0 without an answer. Null where one answer
    has no score (translation, generation) or got none, and in runs of schema version 1 to 3.
    """
    degraded: bool
    """Whether the answer was to come from a tier above, which could not be reached; null in runs of schema
    version 1 to 3.
    """
    skipped: list[str | None]
    """Why the node could not reach the one above, so that it asked the next, past it; null where it did not
    ask past one, and in runs of schema version 1 to 3.
    """
    batch_sizes: list[int | None]
    """How many requests the node inferred together with this one, itself included; null where it did not
    infer, and in runs of schema version 1 to 5, where it was always 1.
    """
    prompt_tokens: list[int | None]
    """Tokens that the node's model read, by its own count; null where it did not infer or counts none, and in
    runs of schema version 1 to 5, as the next two.
    """
    generated_tokens: list[int | None]
    """Tokens that the node's model generated, likewise."""
    cost: float | None
    """What the request cost at all nodes on its path, in the unit of the scenario's prices
    (:mod:`testbed.results.cost`); null too where part of it cannot be known, and without prices.
    """
    backend_ms: list[float | None]
    """Of ``inference_ms``: waiting for the engine behind the node; null where none was asked, and in runs of
    schema version 1 to 5.
    """


@dataclass(frozen=True)
class LinkRow:
    """One direction of one link under one method, a row of ``links.parquet``.

    ``frames`` and ``frame_bytes`` are the kernel's counts. From ``prompt_bytes`` to ``other_bytes`` stand the
    captured bytes by cause (:class:`testbed.wire.parts.BytesByCause`).
    """

    link: str
    direction: str
    method: str
    frames: int
    frame_bytes: int
    ip_bytes: int
    prompt_bytes: int
    answer_bytes: int
    envelope_bytes: int
    instrumentation_bytes: int
    http_header_bytes: int
    packet_header_bytes: int
    tcp_control_bytes: int
    retransmitted_bytes: int
    other_bytes: int
    unaccounted_bytes: int
    """``frame_bytes`` less the bytes by cause."""
    retried_prompt_bytes: int
    """Of ``other_bytes``: prompts that a node sent again."""
    unattributed_bytes: int
    """Of ``prompt_bytes`` and ``answer_bytes``: what belongs to no request of the trace."""
    queue_dropped_frames: int
    """Frames that the bottleneck's full queue refused; they never crossed."""
    lost_frames: int
    """Frames that the link's loss took, with the second copies that the link made and lost."""
    down_lost_frames: int
    """Frames lost while the link was down; not in ``lost_frames``."""
    flow_frames: int
    """Of ``frames``: those of background flows."""
    flow_bytes: int
    """Of ``other_bytes``: those of background flows."""
    duplicated_frames: int
    """Second copies that the link made, lost or not; null in runs of schema version 1."""
    held_frames: int
    """Frames still on their way when the method ended; null in runs of schema version 1."""


@dataclass(frozen=True)
class TierRow:
    """One node under one method, a row of ``tiers.parquet``.

    CPU time and throttling are its control group's over the replay; what the kernel does not count is null.
    The rest is from the node's records.
    """

    node: str
    tier: str
    method: str
    cpu_seconds: float | None
    throttled_s: float | None
    """How long the node waited in all because it had used up its quota."""
    throttled_periods: int | None
    """Of ``periods``: those in which the node wanted more than its quota."""
    periods: int | None
    """Periods of 100 ms in which the node ran."""
    anon_bytes: int | None
    """Anonymous memory at the end."""
    inferences: int
    inference_ms: float
    """How long the model was at work: the sum over the inferences, of a batch each one's share."""
    replaced_inferences: int
    """Inferences whose answer a higher tier replaced."""
    kept: int
    """Inferences whose answer the policy kept."""
    waited_s: float | None
    """How long its threads together waited for a CPU that its quota allowed, at most 5 ms of each wait
    (:mod:`testbed.host.run_delay`); null in runs of schema version 1 too.
    """
    breaker_opened: int
    """How often the breaker of the way up opened; null in runs of schema version 1 to 3, as the next."""
    breaker_refused: int
    """Requests that were not sent to the tier above because the breaker was open; where tiers are skipped,
    they may have gone past it.
    """


@dataclass(frozen=True)
class EventRow:
    """One event under one method, a row of ``events.parquet``; a scenario without events has no such table.

    Times ``_s`` are seconds since the method's start.
    """

    method: str
    number: int
    kind: str
    target: str
    at_s: float
    """When it was to happen."""
    for_s: float | None = None
    took_effect_at_s: float | None = None
    """When the kernel had all of it. Of a flow: when iperf3 was told to begin, which connects first, so that
    its payload follows some round trips later (``flow_payload_at_s``).
    """
    ended_at_s: float | None = None
    late_ms: float | None = None
    end_late_ms: float | None = None
    skipped: bool = False
    """Whether the replay was over before."""
    error: str | None = None
    lost_frames: int | None = None
    """Frames lost on a link that was down."""
    ready_after_s: float | None = None
    """From a killed tier's new start until its model was loaded."""
    steps: int | None = None
    """Steps of a rate file in runs of schema version 1, and null since; so are the next two."""
    steps_skipped: int | None = None
    steps_late_p99_ms: float | None = None
    flow_sent_bytes: int | None = None
    """What iperf3 said that it sent, without headers; the next three are iperf3's too."""
    flow_received_bytes: int | None = None
    """What its server said that it received, whether or not its client heard of it."""
    flow_lost_packets: int | None = None
    flow_retransmits: int | None = None
    flow_payload_at_s: float | None = None
    """When its payload began to flow, to some 10 ms; null if it never did."""
    flow_attempts: int | None = None
    """How often it was begun: more than once where a loss kept it from sending."""

    @property
    def has_node_still(self) -> bool:
        """Whether its target, a node, stood still from then on until it ended."""
        return self.kind in ("pause", "kill") and self.took_effect_at_s is not None

    def __str__(self) -> str:
        return f"event {self.number} ({self.kind} of {self.target} at {self.at_s:g} s)"


_ARROW_TYPES: dict[type, pa.DataType] = {
    str: pa.string(),
    float: pa.float64(),
    int: pa.int64(),
    bool: pa.bool_(),
}


def _arrow_type(hint: Any) -> pa.DataType:
    """The column type of a field's annotation; every column may hold nulls."""
    if get_origin(hint) is list:
        return pa.list_(_arrow_type(get_args(hint)[0]))
    (kind,) = {*(get_args(hint) or (hint,))} - {NoneType}
    return _ARROW_TYPES[kind]


def _schema(row_class: type) -> pa.Schema:
    return pa.schema([(name, _arrow_type(hint)) for name, hint in get_type_hints(row_class).items()])


TABLES = {
    "requests.parquet": _schema(RequestRow),
    "links.parquet": _schema(LinkRow),
    "tiers.parquet": _schema(TierRow),
    "events.parquet": _schema(EventRow),
}
REQUESTS, LINKS, TIERS, EVENTS = TABLES.values()


def total(rows: Iterable[Row], column: str) -> Any:
    """Sum of a column; ``None`` where there is no row, or a value is null."""
    values = [row[column] for row in rows]
    return sum(values) if values and None not in values else None
