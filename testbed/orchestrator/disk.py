"""Estimates what runs need of the disk, most of it for captures, and holds it against what is free."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from testbed.errors import TestbedError
from testbed.host.files import nearest_existing
from testbed.scenario.requests import build_trace, prompts_for
from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.events import BackgroundFlow
from testbed.scenario.sections.kind import has_labels
from testbed.scenario.sections.methods import Method
from testbed.scenario.sections.task import Task
from testbed.scenario.workload.datasets import Example

# As measured, of captures without losses.
HOP_BYTES = 1_100
"""What a request leaves in a link's capture beside its texts: all headers, envelopes and acknowledgements."""
BACKEND_BYTES = 2_300
"""What one that an engine is asked for leaves in the capture of its backend link, likewise."""
TEXT_FACTOR = 1.15
"""Captured bytes for each byte of a longer text, with its frames' headers and their acknowledgements."""
COMPRESSED = 0.35
"""Size of a compressed capture over that of the plain one: 0.22 with short prompts, 0.37 with long ones."""
RUN_BYTES, ROW_BYTES = 2_000_000, 600
"""A run's page and other files; and a request's rows of the tables, under each method."""


@dataclass(frozen=True)
class Disk:
    """Bytes that stay when all is done, and that are needed in between at most."""

    kept_bytes: float
    peak_bytes: float

    def __str__(self) -> str:
        between = f", {_size(self.peak_bytes)} in between" if self.peak_bytes > 1.5 * self.kept_bytes else ""
        return f"about {_size(self.kept_bytes)} of disk{between}"


def expected_disk(scenarios: Iterable[Scenario]) -> Disk:
    """What runs of these scenarios need that follow on one another."""
    kept_bytes = peak_bytes = 0.0
    texts: dict[Task, float] = {}
    for scenario in scenarios:
        count = scenario.trace.requests
        if count is None or scenario.task not in texts:
            trace = build_trace(scenario)
            examples = prompts_for(trace, scenario.task.datasets).values()
            count = len(trace)
            texts[scenario.task] = sum(_text_bytes(scenario.task, one) for one in examples) / count
        share = {"keep": 1.0, "compress": COMPRESSED, "discard": 0.0}[scenario.captures]
        kept_bytes += RUN_BYTES
        rows_bytes = ROW_BYTES * count * len(scenario.methods)  # kept free for a second copy
        for method in scenario.methods:
            captured_bytes = _captured_bytes(scenario, method, count, texts[scenario.task])
            kept_bytes += ROW_BYTES * count
            peak_bytes = max(peak_bytes, kept_bytes + captured_bytes + rows_bytes)
            kept_bytes += share * captured_bytes
    return Disk(kept_bytes, peak_bytes)


def last_words_bytes(requests: int, methods: int) -> int:
    """What a run may still have to write when the disk is full: its tables once more, verdicts and seal."""
    return RUN_BYTES // 2 + ROW_BYTES * requests * methods


def require_disk(out: Path, scenarios: Iterable[Scenario]) -> Disk:
    """What the runs need, if the disk of ``out`` has so much.

    Raises:
        TestbedError: it has less.
    """
    disk = expected_disk(scenarios)
    free_bytes = shutil.disk_usage(nearest_existing(out.absolute())).free
    if free_bytes < disk.peak_bytes:
        raise TestbedError(
            f"--out: {out} needs about {_size(disk.peak_bytes)}, and its disk has {_size(free_bytes)} free; "
            "make room, name a directory elsewhere, or give --set captures=compress (or discard)"
        )
    return disk


def _text_bytes(task: Task, example: Example) -> float:
    """Of the prompt and its answer; a text that is generated counts as long as the prompt, at least."""
    prompt, reference = (len(text.encode()) for text in (example.text, example.reference))
    return prompt + (reference if has_labels(task.kind) else max(prompt, reference))


def _captured_bytes(scenario: Scenario, method: Method, requests: int, text_bytes: float) -> float:
    """Of all links under a method, as they are captured."""
    crossing, hops, asked_engines = 1.0, 0.0, 0.0
    for tier in scenario.tiers:
        infers = tier.name == method.only_tier or (method.only_tier is None and tier.name not in method.relay)
        asked_engines += crossing * (infers and tier.model.needs_backend)
        if tier.name in (method.only_tier, scenario.tier_names[-1]):
            break
        asked = method.share_asked(tier.name) if infers else None
        crossing *= 1.0 if asked is None else asked
        hops += crossing
    topology = scenario.topology
    flows_bytes = sum(
        event.flow.rate_bps / 8 * event.for_s * len(event.links(topology)) * TEXT_FACTOR
        for event in scenario.events
        if isinstance(event, BackgroundFlow)
    )
    each_bytes = hops * HOP_BYTES + asked_engines * BACKEND_BYTES
    return requests * (each_bytes + (hops + asked_engines) * TEXT_FACTOR * text_bytes) + flows_bytes


def _size(size_bytes: float) -> str:
    """A size for people, such as ``12 MB`` or ``3.4 GB``."""
    value, unit = (size_bytes / 1e9, "GB") if size_bytes >= 1e9 else (size_bytes / 1e6, "MB")
    return f"{value:.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}".replace(".0 ", " ")
