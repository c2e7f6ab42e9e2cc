"""What a dry run tells of a scenario's parts."""

from __future__ import annotations

import pytest

from testbed.orchestrator.dry_run import look_ahead
from testbed.scenario.scenario import load_scenario
from tests import SCENARIOS

pytestmark = pytest.mark.root


def test_an_engine_is_told_with_its_file_and_what_its_node_has_beside_it() -> None:
    told = list(look_ahead(load_scenario(SCENARIOS / "engine.yaml", ["tiers.edge.batch=8"])))
    own = "the engine in a container of its own; 0.1 CPU and 256MiB on top for the server"
    assert ("nodes", f"1 × cloud: llama.cpp with smollm2-135m-instruct, 1 CPU, 512MiB, {own}") in told
    (edge,) = (line for heading, line in told if heading == "nodes" and "× edge" in line)
    assert edge.startswith("1 × edge: embedded/edge, 0.4 CPUs, 1536MiB, batches of 8 at most")
    (gguf,) = (line for heading, line in told if heading == "models" and "smollm2" in line)
    assert gguf in ("smollm2-135m-instruct: there", "smollm2-135m-instruct: to be fetched first")
