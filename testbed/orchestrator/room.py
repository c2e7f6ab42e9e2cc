"""Holds what a run needs of this host against what control groups leave to it, before anything starts.

The run's own processes have what the shell's group leaves them, the tiers what is left to the engine's
containers (:mod:`testbed.host.cgroup_limits`).
"""

from __future__ import annotations

from collections.abc import Iterator

from testbed.errors import TestbedError
from testbed.host.cgroup_limits import Limits, leaves, mend, mib, require_memory
from testbed.host.facts import free_tasks, memory_bytes
from testbed.host.processes.open_files import allow_open_files
from testbed.orchestrator.nodes import backend_specs
from testbed.orchestrator.nodes.tier_specs import PIDS_LIMIT
from testbed.scenario.capacity import held_bytes
from testbed.scenario.scenario import Scenario
from testbed.scenario.topology import Topology
from testbed.wire.capture import ring_bytes

# As measured: orchestrator, link process and probes; and a capture for each link.
RUN_BYTES, LINK_BYTES = 150 << 20, 6 << 20
RUN_TASKS, LINK_TASKS, NODE_TASKS = 40, 2, 2
"""Processes and threads: with pools of threads for the nodes."""
RUN_FILES, LINK_FILES, NODE_FILES = 200, 12, 6
"""Open in one process at a time: sockets that measure a link, its capture, a node's counters."""
CONTAINER_BYTES = 32 << 20
"""A node's server with a recorded model, and what the engine has beside it; other models take more."""
CONTAINER_TASKS = 80
"""A node's server when it is idle, and what the engine has beside it."""
LEAST_CPUS = 1.0


def require_room(scenario: Scenario, own: Limits) -> None:
    """Refuse a run whose own processes do not fit what this shell's groups leave them.

    Raises:
        TestbedError: they need more memory, or are more, or need more open files.
    """
    topology = scenario.topology
    frames_bytes = held_bytes(scenario.links, scenario.events, topology)
    backends = sum(scenario.tier(node.tier).model.needs_backend for node in topology.nodes)
    links = len(topology.links) + backends  # each of both has a capture
    require_own_room("a run of this scenario", own, links, len(topology.nodes), frames_bytes)


def require_own_room(what: str, own: Limits, links: int, nodes: int, frames_bytes: float = 0.0) -> None:
    """Refuse what has so many links and nodes, and so many bytes of frames in its links.

    Raises:
        TestbedError: this shell's groups, or the host, leave too little memory or too few processes.
    """
    needed_bytes = RUN_BYTES + LINK_BYTES * links + frames_bytes
    require_memory(own, needed_bytes, f"beside its tiers, {what} needs")
    tasks = RUN_TASKS + LINK_TASKS * links + NODE_TASKS * nodes
    if own.processes is not None and own.processes.free < tasks:
        raise TestbedError(
            f"{what} has about {tasks} processes and threads beside its tiers, and "
            f"{leaves(own.processes)} {own.processes.free:.0f} to this shell; {mend(own.processes)}"
        )
    allow_open_files(RUN_FILES + LINK_FILES * links + NODE_FILES * nodes, f"{what} needs")


def require_room_to_start(scenario: Scenario, containers: Limits) -> None:
    """Refuse a network that is not up yet, if its containers cannot all start, whatever is in them.

    Raises:
        TestbedError: there is less memory for them and for captures, or there may be fewer processes.
    """
    topology = scenario.topology
    count = len(topology.nodes) + sum(scenario.tier(node.tier).has_engine for node in topology.nodes)
    run_bytes = RUN_BYTES + LINK_BYTES * len(topology.links) + _rings_bytes(topology)
    _require_memory_to_start(count, run_bytes, containers)
    bound, tasks = containers.processes, CONTAINER_TASKS * count
    free, who = free_tasks(), "this host's kernel.pid_max and kernel.threads-max leave"
    if bound is not None and bound.free < free:
        free, who = int(bound.free), leaves(bound)
    if free < tasks:
        raise TestbedError(
            f"{count} containers have about {tasks:,} processes and threads from the start, and {who} "
            f"{free:,} to them; raise that limit, or take fewer nodes"
        )


def _require_memory_to_start(count: int, run_bytes: int, containers: Limits) -> None:
    needed_bytes, bound = CONTAINER_BYTES * count, containers.memory
    if bound is not None and bound.free < needed_bytes:
        raise TestbedError(
            f"{count} containers need at least {mib(needed_bytes)} of memory, and {leaves(bound)} "
            f"{mib(bound.free)} to them; raise that group's limit, or take fewer nodes"
        )
    available_bytes = memory_bytes()["MemAvailable"]
    if available_bytes < needed_bytes + run_bytes:
        raise TestbedError(
            f"{count} containers need at least {mib(needed_bytes)} of memory, and the run with its captures "
            f"{mib(run_bytes)}; this host has {mib(available_bytes)} available: end other programs, or "
            "take fewer nodes or slower links"
        )


def _rings_bytes(topology: Topology) -> int:
    """What the kernel holds for the captures of all links, whatever crosses them."""
    rates_bps = ([link.up.rate_bps, link.down.rate_bps] for link in topology.links)
    return sum(max(map(ring_bytes, both)) for both in rates_bps)


def _memory_of(containers: Limits) -> str:
    """Words on who leaves how much memory to containers."""
    bound = containers.memory
    if bound is None or bound.free > containers.free_bytes:
        return f"this host has {mib(containers.free_bytes)}"
    return f"{leaves(bound)} {mib(containers.free_bytes)}"


def room_notes(scenario: Scenario, own: Limits, containers: Limits) -> Iterator[str]:
    """What limits may cost: sentences for the user."""
    if own.cpus is not None and own.cpus.limit < LEAST_CPUS:
        yield (
            f"{leaves(own.cpus)} {own.cpus.limit:g} CPUs to this shell: requests may be sent late, which "
            f"the verdict on latency sees; {mend(own.cpus)}"
        )
    nodes = scenario.topology.nodes
    tiers_bytes = sum(scenario.tier(node.tier).node_memory_bytes for node in nodes)
    if tiers_bytes > containers.free_bytes:
        where = _memory_of(containers)
        help_ = "end other programs" if where.startswith("this host") else "raise that group's limit"
        yield (
            f"the tiers may use {mib(tiers_bytes)} of memory together, and {where} to them: if they use "
            f"more, one is killed; lower their memory or their number, or {help_}"
        )
    engines = sum(scenario.tier(node.tier).has_engine for node in nodes)
    tasks = PIDS_LIMIT * len(nodes) + backend_specs.PIDS_LIMIT * engines
    if containers.processes is not None and containers.processes.free < tasks:
        yield (
            f"the tiers may have {tasks} processes and threads together, and {leaves(containers.processes)} "
            f"{containers.processes.free:.0f} to them: if they need more, requests fail; raise that group's "
            "limit"
        )
