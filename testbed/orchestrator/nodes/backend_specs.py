"""What is behind a scenario's nodes: the container of an engine, or the address of one outside."""

from __future__ import annotations

import math
from dataclasses import asdict
from urllib.parse import urlsplit

from testbed.errors import TestbedError
from testbed.host.ggufs import gguf_file
from testbed.network.backend import ENGINE_PORT, Backend
from testbed.network.container import ContainerSpec
from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.engines import EngineEntry
from testbed.scenario.sections.tiers import Tier
from testbed.scenario.topology import Topology
from tiers.engine import ENGINE_VARIABLE, EngineConfig
from tiers.protocol import encode_json

GGUF_MOUNT = "/engine/model.gguf"
PIDS_LIMIT = 256


def backend_specs(scenario: Scenario, topology: Topology) -> list[Backend]:
    """One spec for each node that needs an engine.

    Raises:
        TestbedError: the file of an engine's model cannot be had.
    """
    tiers = {node.name: scenario.tier(node.tier) for node in topology.nodes}
    return [_backend(node, tier) for node, tier in tiers.items() if tier.model.needs_backend]


def _backend(node: str, tier: Tier) -> Backend:
    if isinstance(tier.model, EngineEntry):
        return Backend(node, engine=_engine(node, tier, tier.model))
    place = urlsplit(str(tier.model.options["url"]))
    return Backend(
        node, outside=(str(place.hostname), place.port or (443 if place.scheme == "https" else 80))
    )


def _engine(node: str, tier: Tier, model: EngineEntry) -> ContainerSpec:
    """The engine's container, which has the tier's CPUs and memory."""
    try:
        gguf = str(gguf_file(model.gguf))
    except TestbedError as error:
        raise TestbedError(f"tiers.{tier.name}.model.gguf: {error}") from error
    threads = max(1, math.floor(tier.cpus))  # more would wait for one another (OpenMP)
    config = EngineConfig(GGUF_MOUNT, model.name, model.context, model.slots, threads, port=ENGINE_PORT)
    return ContainerSpec(
        node,
        cpus=tier.cpus,
        memory_bytes=tier.memory_bytes,
        env={ENGINE_VARIABLE: encode_json(asdict(config)).decode(), "OMP_NUM_THREADS": str(threads)},
        mounts={gguf: GGUF_MOUNT},
        pids_limit=PIDS_LIMIT,
        command=["python3", "-m", "tiers.engine"],
    )
