"""A node's Prometheus metrics, counted from its records; new ones for each method."""

from __future__ import annotations

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from tiers.records import Record

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Counters since the last reset; units in the names."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        counter = partial(Counter, registry=registry)
        self._requests = counter("tier_requests", "Requests by how they ended", ["outcome"])
        self._kept = counter("tier_kept", "Answers that the policy kept here")
        self._offloaded = counter("tier_offloaded", "Requests that the policy sent up")
        self._relayed = counter("tier_relayed", "Requests passed on without inferring")
        self._repeats = counter("tier_forward_repeats", "Requests sent up a second time")
        self._trips = counter("tier_breaker_opened", "Times that the breaker of the way up opened")
        self._failures = counter("tier_forward_errors", "Failures of the way up", ["kind"])
        self._spent = {
            part: Histogram(f"tier_{part}_seconds", text, registry=registry, buckets=_SECONDS)
            for part, text in (
                ("queue", "Waiting for the inference queue"),
                ("inference", "Model, confidence and policy"),
                ("upstream", "Waiting for the tier above"),
                ("own", "Everything else"),
            )
        }
        self._threshold = Gauge("tier_threshold", "Threshold of the last decision", registry=registry)
        self._window = Gauge("tier_window_length", "Values in the window", registry=registry)

    def count(self, record: Record) -> None:
        """Add one request."""
        self._requests.labels(record.outcome).inc()
        if record.inferred:
            (self._kept if record.kept else self._offloaded).inc()
            self._spent["queue"].observe(record.queue_ms / 1000)
            self._spent["inference"].observe(record.inference_ms / 1000)
        elif record.upstream_ms is not None:
            self._relayed.inc()
        if record.upstream_ms is not None:
            self._spent["upstream"].observe(record.upstream_ms / 1000)
        self._spent["own"].observe(record.own_ms / 1000)
        self._repeats.inc(record.repeats)
        self._trips.inc(record.tripped)
        if record.forward_error is not None:
            self._failures.labels(record.forward_error).inc()
        if record.threshold is not None:
            self._threshold.set(record.threshold)
        if record.window_length is not None:
            self._window.set(record.window_length)

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self._registry)
