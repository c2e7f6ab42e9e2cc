"""Says what a run would make, need and take, and starts none of it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from testbed.errors import TestbedError
from testbed.host.capabilities import capabilities
from testbed.host.doctor import INDISPENSABLE
from testbed.host.ggufs import gguf_is_there
from testbed.host.kernel import PARTS
from testbed.host.processes.run_lock import live_runs
from testbed.orchestrator.disk import require_disk
from testbed.orchestrator.estimate import estimated_seconds
from testbed.orchestrator.prepare import Inputs, inputs_of
from testbed.results.directory import RunDirectory
from testbed.scenario.reading.units import duration, write_memory, write_rate, write_time_ms
from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.engines import EngineEntry
from testbed.scenario.sections.models import EmbeddedEntry
from testbed.scenario.sections.tiers import SERVER_CPUS, SERVER_MEMORY_BYTES, Tier
from testbed.scenario.topology import Link, Shape

_AS_ROOT_ALONE = ("root", "Docker engine", *PARTS)
"""What another user cannot be told of this host."""


def look_ahead(scenario: Scenario, out: Path | None = None) -> Iterator[tuple[str, str]]:
    """What a run of ``scenario`` would be, as pairs of a heading and a line.

    It is looked at as a run does before it starts, and only root's view is whole. Data sets that are not on
    this host yet are fetched, for the requests are drawn from them.

    Raises:
        TestbedError: a run would be refused here.
    """
    privileged = os.geteuid() == 0
    inputs = inputs_of(scenario, unprivileged=not privileged)
    _require_host(privileged)
    if privileged:  # the run will be root's, and so will its directory
        RunDirectory.check(out)
    disk = require_disk(out or Path("results"), [scenario])
    yield from _network(inputs)
    yield from _work(inputs)
    yield from _parts(inputs.scenario)
    yield "disk", str(disk).replace(" of disk", "")
    yield "time", f"{estimated_seconds(inputs.scenario, inputs.trace, inputs.topology)}, once all is there"
    for note in inputs.notes:
        yield "note", note
    if not privileged:
        yield "note", "a run needs root; whether kernel and Docker can do it was not looked at"
    for run_id in live_runs():
        yield "note", f"run {run_id} is going on, and this one would be refused until it ends"


def _require_host(privileged: bool) -> None:
    """Refuse where this host lacks what every run needs.

    Raises:
        TestbedError: what, and how to get it.
    """
    needed = set(INDISPENSABLE) - (set() if privileged else set(_AS_ROOT_ALONE))
    for capability in capabilities():
        if capability.name in needed and not capability.ok:
            mend = f"; {capability.mend}" if capability.mend else ""
            raise TestbedError(
                f"this host lacks {capability.name}, for {capability.needed_for}: {capability.detail}{mend}"
            )


def _network(inputs: Inputs) -> Iterator[tuple[str, str]]:
    scenario = inputs.scenario
    for tier in scenario.tiers:
        yield "nodes", ", ".join([f"{tier.nodes} × {tier.name}: {tier.model.told_as}", *_tier(tier)])
    for (entry, up, down), count in Counter(map(_figures, inputs.topology.links)).items():
        each = up if up == down else f"up {up}; down {down}"
        yield "links", f"{count} × {entry}: {each}"


def _tier(tier: Tier) -> Iterator[str]:
    """What a node has, and what is asked of it beside its model."""
    yield f"{tier.cpus:g} CPU{'' if tier.cpus == 1 else 's'}"
    yield write_memory(tier.memory_bytes)
    if tier.has_engine:
        server = f"{SERVER_CPUS:g} CPU and {write_memory(SERVER_MEMORY_BYTES)}"
        yield f"the engine in a container of its own; {server} on top for the server"
    if tier.batch > 1:
        yield f"batches of {tier.batch} at most after {write_time_ms(tier.wait_ms)}"
    if tier.price is not None:
        yield from (f"{of} at {price}" for of, price in tier.price if price is not None)


def _figures(link: Link) -> tuple[str, str, str]:
    return link.entry, _shape(link.up), _shape(link.down)


def _shape(shape: Shape) -> str:
    figures = ["no limit of rate" if shape.rate_bps is None else write_rate(shape.rate_bps)]
    figures.append(f"{shape.delay_ms:g} ms")
    if shape.jitter_ms:
        figures.append(f"± {shape.jitter_ms:g} ms")
    if shape.loss:
        figures.append(f"{100 * shape.loss:g} % lost")
    return ", ".join(figures)


def _work(inputs: Inputs) -> Iterator[tuple[str, str]]:
    scenario, trace = inputs.scenario, inputs.trace
    yield "methods", ", ".join(method.name for method in scenario.methods)
    count = len({request.device for request in trace})
    devices = f"{count} device{'' if count == 1 else 's'}"
    last = f", the last after {duration(trace[-1].at_s)}" if scenario.replay.mode == "open" else ""
    yield (
        "requests",
        f"{len(trace)} under each method, to {devices}, {scenario.replay.mode}{last}; seed {scenario.seed}",
    )
    if inputs.calibration:
        yield "calibration", f"{len(inputs.calibration)} rows, before the first method"
    if scenario.events:
        yield "events", f"{len(scenario.events)} under each method"


def _parts(scenario: Scenario) -> Iterator[tuple[str, str]]:
    """What containers are made of, and whether it is there."""
    from testbed.host.image import image_there  # late: docker takes a second to import

    there = image_there()
    not_there = "to be built first, which takes minutes"
    told = (
        "not to be seen by this user, or the Docker engine does not run yet" if there is None else not_there
    )
    yield "image", "there" if there else told
    if any(isinstance(tier.model, EmbeddedEntry) for tier in scenario.tiers):
        from testbed.host.embedded.prepare import is_prepared, require_room

        require_room()
        yield "models", "embedded: there" if is_prepared() else "embedded: to be assembled first"
    for tier in scenario.tiers:
        if isinstance(tier.model, EngineEntry):
            there = gguf_is_there(tier.model.gguf)
            yield "models", f"{tier.model.name}: {'there' if there else 'to be fetched first'}"
        if hub := getattr(tier.model, "hub", None):
            yield "models", f"{hub}: from the model hub, if this host has not had it yet"
