"""Holds what a run needs of this host against what control groups leave to it, before anything starts.

The run's own processes have what the shell's group leaves them, the tiers what is left to the engine's
containers (:mod:`testbed.host.cgroup_limits`).
"""

from __future__ import annotations

from collections.abc import Iterator

from testbed.errors import TestbedError
from testbed.host.cgroup_limits import Limits, leaves, mend, mib, require_memory
from testbed.orchestrator.nodes import backend_specs
from testbed.orchestrator.nodes.tier_specs import PIDS_LIMIT
from testbed.scenario.capacity import held_bytes
from testbed.scenario.scenario import Scenario

# As measured: orchestrator, link process and probes; and a capture for each link.
RUN_BYTES, LINK_BYTES = 150 << 20, 6 << 20
RUN_TASKS, LINK_TASKS, NODE_TASKS = 40, 2, 2
"""Processes and threads: with pools of threads for the nodes."""
LEAST_CPUS = 1.0


def require_room(scenario: Scenario, own: Limits) -> None:
    """Refuse a run whose own processes do not fit what this shell's groups leave them.

    Raises:
        TestbedError: they need more memory, or are more.
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
        bound = containers.memory
        if bound is None or bound.free > containers.free_bytes:
            where, help_ = "this host has", "end other programs"
        else:
            where, help_ = leaves(bound), "raise that group's limit"
        yield (
            f"the tiers may use {mib(tiers_bytes)} of memory together, and {where} "
            f"{mib(containers.free_bytes)} to them: if they use more, one is killed; lower their memory or "
            f"their number, or {help_}"
        )
    engines = sum(scenario.tier(node.tier).has_engine for node in nodes)
    tasks = PIDS_LIMIT * len(nodes) + backend_specs.PIDS_LIMIT * engines
    if containers.processes is not None and containers.processes.free < tasks:
        yield (
            f"the tiers may have {tasks} processes and threads together, and {leaves(containers.processes)} "
            f"{containers.processes.free:.0f} to them: if they need more, requests fail; raise that group's "
            "limit"
        )
