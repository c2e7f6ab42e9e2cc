"""The columns of a run directory's tables, each declared once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

Row = Mapping[str, Any]
"""Of a table, by its columns."""

SCHEMA_VERSION = 2
"""Of a run directory. Version 1 lacks the columns that :data:`LINKS` and :data:`TIERS` say are null there."""

_strings: pa.DataType = pa.list_(pa.string())
_doubles: pa.DataType = pa.list_(pa.float64())
_integers: pa.DataType = pa.list_(pa.int64())

_REQUEST_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("request_id", pa.string()),
    ("method", pa.string()),
    ("device", pa.string()),
    ("scheduled_at_s", pa.float64()),
    ("sent_at_s", pa.float64()),
    ("done_at_s", pa.float64()),
    ("latency_ms", pa.float64()),
    ("tier", pa.string()),
    ("path", _strings),
    ("confidences", _doubles),
    ("thresholds", _doubles),
    ("window_seqs", _integers),
    ("window_lengths", _integers),
    ("kept", pa.list_(pa.bool_())),
    ("node_answers", _strings),
    ("queue_ms", _doubles),
    ("inference_ms", _doubles),
    ("own_ms", _doubles),
    ("upstream_ms", _doubles),
    ("forward_errors", _strings),
    ("repeats", _integers),
    ("hops", _strings),
    ("hop_prompt_bytes", _integers),
    ("hop_answer_bytes", _integers),
    ("lateness_ms", pa.float64()),
    ("hop_up_ms", _doubles),
    ("hop_down_ms", _doubles),
    ("unexplained_ms", pa.float64()),
    ("lives", _integers),
    ("answer", pa.string()),
    ("reference", pa.string()),
    ("correct", pa.bool_()),
    ("outcome", pa.string()),
]
REQUESTS = pa.schema(_REQUEST_COLUMNS)
"""One row for each request and method; times ``_s`` are since the method's start. Lists have one entry for
each node that the request reached, the device first; a node that only relayed has nulls for what it did not
decide. ``lives`` says how often an event had killed the node's process before: its window began anew.

``hop_…`` lists have one entry for each of ``hops``, which names the WAN links that the request tried, the
device's first: one fewer than ``path``, or as many if the last node sent the request up and the one above
never recorded it. Bytes are the captures': those that crossed, whole or not, repeats left out. Summed over a
method's requests they are a link's ``prompt_bytes`` up and ``answer_bytes`` down, but for its
``unattributed_bytes``.

``latency_ms`` is the sum of ``lateness_ms``, ``queue_ms``, ``inference_ms``, ``own_ms``, ``hop_up_ms``,
``hop_down_ms`` and ``unexplained_ms`` (:mod:`testbed.results.times`). A hop's times, connecting included, are
null where its upper node never recorded the request or its answer never came down; ``unexplained_ms`` then
holds that time too. ``upstream_ms`` is a node's whole wait for the one above: its hop up, all that happened
above, and its hop down."""

BYTE_PARTS = (
    "prompt_bytes",
    "answer_bytes",
    "envelope_bytes",
    "instrumentation_bytes",
    "http_header_bytes",
    "packet_header_bytes",
    "tcp_control_bytes",
    "retransmitted_bytes",
    "other_bytes",
)

_LINK_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("link", pa.string()),
    ("direction", pa.string()),
    ("method", pa.string()),
    *(
        (name, pa.int64())
        for name in (
            "frames",
            "frame_bytes",
            "ip_bytes",
            *BYTE_PARTS,
            "unaccounted_bytes",
            "retried_prompt_bytes",
            "unattributed_bytes",
            "queue_dropped_frames",
            "lost_frames",
            "down_lost_frames",
            "flow_frames",
            "flow_bytes",
            "duplicated_frames",
            "held_frames",
        )
    ),
]
LINKS = pa.schema(_LINK_COLUMNS)
"""One row for each link, direction and method; ``frames`` and ``frame_bytes`` are the kernel's counts.
``unattributed_bytes``: of ``prompt_bytes`` and ``answer_bytes``, what belongs to no request of the trace.
``queue_dropped_frames`` the bottleneck's full queue refused; they never crossed. ``lost_frames`` are the
way's, with the second copies that it made and lost; ``down_lost_frames`` were lost while the link was down,
apart from those. ``flow_*`` are background flows', of the frames and of ``other_bytes``.
``duplicated_frames`` are the second copies that the way made, lost or not; ``held_frames`` were on the way
still when the method ended. Both are null in runs of schema version 1."""

_TIER_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("node", pa.string()),
    ("tier", pa.string()),
    ("method", pa.string()),
    ("cpu_seconds", pa.float64()),
    ("throttled_s", pa.float64()),
    ("throttled_periods", pa.int64()),
    ("periods", pa.int64()),
    ("anon_bytes", pa.int64()),
    ("inferences", pa.int64()),
    ("inference_ms", pa.float64()),
    ("replaced_inferences", pa.int64()),
    ("kept", pa.int64()),
    ("waited_s", pa.float64()),
]
TIERS = pa.schema(_TIER_COLUMNS)
"""One row for each node and method. CPU time and throttling are its control group's over the replay: in
``throttled_periods`` of ``periods`` (100 ms each) it wanted more than its quota, ``throttled_s`` is how long
it waited in all. ``anon_bytes`` is its anonymous memory at the end. What the kernel does not count is null.
The rest is from the node's records: ``inference_ms`` is a sum, ``replaced_inferences`` are those whose answer
a higher tier replaced, ``kept`` those whose answer the policy kept. ``waited_s`` is how long its threads
together waited for a CPU that its quota allowed (:mod:`testbed.host.run_delay`); null in runs of schema
version 1 too."""

_EVENT_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("method", pa.string()),
    ("number", pa.int64()),
    ("kind", pa.string()),
    ("target", pa.string()),
    ("at_s", pa.float64()),
    ("for_s", pa.float64()),
    ("took_effect_at_s", pa.float64()),
    ("ended_at_s", pa.float64()),
    ("late_ms", pa.float64()),
    ("end_late_ms", pa.float64()),
    ("skipped", pa.bool_()),
    ("error", pa.string()),
    ("lost_frames", pa.int64()),
    ("ready_after_s", pa.float64()),
    ("steps", pa.int64()),
    ("steps_skipped", pa.int64()),
    ("steps_late_p99_ms", pa.float64()),
    ("flow_sent_bytes", pa.int64()),
    ("flow_received_bytes", pa.int64()),
    ("flow_lost_packets", pa.int64()),
    ("flow_retransmits", pa.int64()),
]
EVENTS = pa.schema(_EVENT_COLUMNS)
"""One row for each event and method (:class:`~testbed.results.evidence.EventReport`); no table without."""

TABLES = {
    "requests.parquet": REQUESTS,
    "links.parquet": LINKS,
    "tiers.parquet": TIERS,
    "events.parquet": EVENTS,
}


def total(rows: Iterable[Row], column: str) -> Any:
    """A column's sum; ``None`` where there is no row, or the kernel does not count it."""
    values = [row[column] for row in rows]
    return sum(values) if values and None not in values else None
