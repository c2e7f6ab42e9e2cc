"""A scenario's tiers as containers: the configuration, mounts and limits of each node."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from testbed.errors import TestbedError
from testbed.host.checkpoints import from_hub
from testbed.network.backend import ENGINE_PORT, ends
from testbed.network.container import ContainerSpec
from testbed.orchestrator.nodes.mounts import mounts_of
from testbed.orchestrator.nodes.tier_process import environment
from testbed.scenario.patience import slowest_way_up_s
from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.methods import Method
from testbed.scenario.sections.models import CheckpointEntry, EmbeddedEntry
from testbed.scenario.sections.tiers import SERVER_CPUS, SERVER_MEMORY_BYTES, Tier
from testbed.scenario.timeline import under_events
from testbed.scenario.topology import Node, Topology
from tiers.config import REQUEST_THREADS
from tiers.plugins import External, external
from tiers.records import MAX_RECORDS

PLUGIN_MOUNT = "/plugins"
PIDS_LIMIT = REQUEST_THREADS + 256
"""Processes and threads of a node: one for each request, and what model and supervisor need."""
ENGINE_REQUEST_THREADS = 500
"""Of a server with 0.1 CPU, each a thread that waits for the engine."""


def container_specs(
    scenario: Scenario,
    topology: Topology,
    models: Path | None,
    recorded: Mapping[str, Path] = MappingProxyType({}),
) -> list[ContainerSpec]:
    """One spec for each node.

    Args:
        models: holds the embedded ladder's checkpoints, where one is used.
        recorded: by tier, what was extracted of its answer matrix.

    Raises:
        TestbedError: a tier's model cannot be had inside a container.
    """
    mounts: dict[str, dict[str, str]] = {}
    configs: dict[str, dict[str, Any]] = {}
    for tier in scenario.tiers:
        mounts[tier.name] = {}
        configs[tier.name] = _model(tier, models, recorded.get(tier.name), mounts[tier.name])
        for method in scenario.methods:
            _plugin(method.policy, mounts[tier.name])
    worst = under_events(scenario.events, topology)
    killed = {event.target for event in scenario.events if event.kind == "kill"}
    return [
        ContainerSpec(
            node.name,
            **_limits(scenario.tier(node.tier)),
            env=_environment(node, scenario, worst, configs[node.tier], returns=node.name in killed)
            | _key(scenario.tier(node.tier)),
            pids_limit=PIDS_LIMIT,
            mounts=mounts[node.tier],
            command=["python3", "-m", "tiers.supervisor"] if node.name in killed else None,
        )
        for node in topology.nodes
    ]


def _limits(tier: Tier) -> dict[str, Any]:
    """What the container of a node's server may use: little, where an engine has what the tier has."""
    if tier.has_engine:
        return {"cpus": SERVER_CPUS, "memory_bytes": SERVER_MEMORY_BYTES}
    return {"cpus": tier.cpus, "memory_bytes": tier.memory_bytes}


def _key(tier: Tier) -> dict[str, str]:
    """The variable that holds the key of a tier's engine, where it needs one.

    Raises:
        TestbedError: this environment does not have it.
    """
    if (name := tier.model.options.get("api_key_env")) is None or not tier.model.needs_backend:
        return {}
    if not os.environ.get(name):
        raise TestbedError(f"tiers.{tier.name}.model.api_key_env: the environment has no {name}; export it")
    return {name: os.environ[name]}


def policy_spec(method: Method, seed: int, calibrated: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A method's policy with its parameters, and what calibration added, as a node's reset takes it."""
    spec = {"policy": _inside(method.policy), "method": method.name, **method.parameters, "seed": seed}
    spec |= calibrated or {}
    return {**spec, "relay": list(method.relay)} if method.relay else spec


def round_trips(node: Node, topology: Topology) -> dict[str, float]:
    """The longest round trips from a node to the tier above and past it, as its configuration has them.

    Args:
        topology: with each figure that events give to a link.
    """
    way_s = slowest_way_up_s(node.name, topology)
    found = {"round_trip_s": round(way_s, 3)}
    if topology.past(node.name) is not None:
        past_s = way_s + slowest_way_up_s(str(node.parent), topology)
        found["past_round_trip_s"] = round(past_s, 3)
    return found


def _environment(
    node: Node, scenario: Scenario, topology: Topology, model: dict[str, Any], *, returns: bool
) -> dict[str, str]:
    threads = max(1, math.floor(scenario.tier(node.tier).cpus))  # more would wait for one another (OpenMP)
    config = {
        "node": node.name,
        "tier": node.tier,
        "tiers": scenario.tier_names,
        "model": model | _engine_at(node, scenario.tier(node.tier), topology),
        "task": scenario.task.asked,
        "parent": None if node.parent is None else topology.node(node.parent).ip,
        "threads": threads,
        "plugins": [PLUGIN_MOUNT],
        **round_trips(node, topology),
    }
    if scenario.tier(node.tier).has_engine:
        config["request_threads"] = ENGINE_REQUEST_THREADS
    if (past := topology.past(node.name)) is not None:
        config["past"] = past.ip
    if (tier := scenario.tier(node.tier)).batch > 1:
        config |= {"batch": tier.batch, "batch_wait_s": tier.wait_ms / 1000}
    if returns:  # in the middle of a method, which nobody tells it
        config["requests"] = MAX_RECORDS
    return {**environment(config), "OMP_NUM_THREADS": str(threads)}


def _model(tier: Tier, models: Path | None, rows: Path | None, mounts: dict[str, str]) -> dict[str, Any]:
    model, options = tier.model, tier.model.options
    if confidence := options.get("confidence"):
        options["confidence"] = _plugin(confidence, mounts)
    if isinstance(model, EmbeddedEntry):
        if models is None:
            raise TestbedError(f"tiers.{tier.name}.model: the embedded models are not prepared")
        rung = options.pop("rung")
        options = {"name": f"embedded/{rung}", "path": str(models / rung), **options}
    elif isinstance(model, CheckpointEntry) and model.hub is not None:
        try:
            options["path"] = str(from_hub(model.hub))
        except TestbedError as error:
            raise TestbedError(f"tiers.{tier.name}.model: {error}") from error
    elif rows is not None:  # in place of the matrix, which a tier never reads
        del options["path"]
        options["rows"] = str(rows)
    for option, inside in model.files.items():
        if path := options.get(option):
            try:
                mounts.update(mounts_of(path, inside))
            except TestbedError as error:
                raise TestbedError(f"tiers.{tier.name}.model: {error}") from error
            options[option] = inside
    return {"kind": _plugin(model.served_as, mounts), **options}


def _engine_at(node: Node, tier: Tier, topology: Topology) -> dict[str, str]:
    """How a node's model reaches the engine behind the node, if there is one."""
    if not tier.model.needs_backend:
        return {}
    _, far = ends(topology.nodes, node.name)
    if tier.has_engine:
        return {"url": f"http://{far.ip}:{ENGINE_PORT}/v1"}
    return {"via": f"{far.ip}:{ENGINE_PORT}"}


def _plugin(name: str, mounts: dict[str, str]) -> str:
    """Mount the file of a plug-in ``FILE.py:CLASS``, and return its name inside; other names stay.

    A file beside it that differs in ending with ``.json`` alone is mounted beside it: what the class learnt.
    """
    if plugin := external(name):
        inside = f"{PLUGIN_MOUNT}/{_file_inside(plugin)}"
        mounts[plugin.where] = inside
        learnt = Path(plugin.where).with_suffix(".json")
        if learnt.is_file():
            mounts[str(learnt)] = str(Path(inside).with_suffix(".json"))
    return _inside(name)


def _inside(name: str) -> str:
    """A plug-in's name in a container; other names stay."""
    plugin = external(name)
    return f"{_file_inside(plugin)}:{plugin.class_name}" if plugin else name


def _file_inside(plugin: External) -> str:
    """The path of a plug-in's file below the mount: files of the same name in two folders stay two files."""
    file = Path(plugin.where)
    folder = hashlib.sha256(str(file.parent).encode()).hexdigest()[:8]
    return f"{folder}/{file.name}"
