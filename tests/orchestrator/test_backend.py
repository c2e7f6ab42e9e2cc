"""An engine outside the emulated network: a real llama.cpp on the host, asked through the relay."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.host.ggufs import gguf_file
from testbed.orchestrator.method import run_method
from testbed.orchestrator.session import Session
from tests import ROOT
from tests.network.test_backend import routes
from tests.orchestrator.emulation import emulated, scenario_of
from tests.tiers.nodes import free_port
from tiers.engine import ENGINE_VARIABLE

pytestmark = [pytest.mark.root, pytest.mark.models]
TEXT = """
name: outside
task: {kind: classification, dataset: rotten_tomatoes}
tiers:
  - {name: edge, model: {kind: recorded, service: 1ms}, cpus: 0.5, memory: 64MiB}
  - {name: cloud, model: {kind: openai, url: "http://localhost:PORT/v1", model: small, max_tokens: 2},
     cpus: 0.5, memory: 64MiB}
links: [{name: core, between: [edge, cloud], rate: 100mbit, delay: 1ms}]
methods: [{name: cloud-only}]
trace: {requests: 3, arrivals: {rate: 20}, seed: 1}
replay: {mode: lockstep, deadline: 60s}
"""


@contextmanager
def llama() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """llama.cpp as a process of this host, and its port."""
    gguf = str(gguf_file("smollm2-135m-instruct"))
    told = json.dumps({"gguf": gguf, "served_as": "small", "host": "127.0.0.1", "port": 0})
    process = subprocess.Popen(
        [sys.executable, "-m", "tiers.engine"],
        env={**os.environ, ENGINE_VARIABLE: told},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().rpartition(":")[2].strip()
        finally:
            process.kill()


@contextmanager
def outside(tmp_path: Path, port: str) -> Iterator[Session]:
    scenario = scenario_of(TEXT.replace("PORT", port), tmp_path)
    with emulated(scenario, tmp_path / "run", Reporter()) as session:
        yield session


def test_an_engine_outside_is_asked_over_the_backend_link_and_nothing_else_is(tmp_path: Path) -> None:
    with llama() as (process, port), outside(tmp_path, port) as session:
        (method,) = session.inputs.scenario.methods
        result = run_method(session, method, lambda *_: None)
        assert [row["outcome"] for row in result.requests] == ["answered"] * 3
        assert all(row["backend_ms"][0] is None and row["backend_ms"][1] > 1 for row in result.requests)
        assert {row["link"] for row in result.links} == {"edge1-cloud1"}
        assert {row["unaccounted_bytes"] for row in result.links} == {0}
        assert result.findings == []
        asked = session.directory.pcap("cloud-only", "backend.cloud1").read_bytes()
        assert asked.count(b"POST /v1/chat/completions") == 3
        assert asked.count(b"Host: localhost:" + port.encode()) == 3
        wan = session.directory.pcap("cloud-only", "edge1-cloud1").read_bytes()
        assert b"max_tokens" not in wan
        assert routes(session.network.net["cloud1"].netns_path) == {"10.77.0.2", "10.78.0.3"}

        process.kill()
        process.wait()
        failed = run_method(session, method, lambda *_: None)
        assert [row["outcome"] for row in failed.requests] == ["inference"] * 3
        assert failed.observed.after.quiet  # whatever its connections to the engine are in


def test_an_engine_that_nobody_has_started_is_named_before_a_request(tmp_path: Path) -> None:
    port = str(free_port())
    words = f"the engine of cloud1 cannot be reached at localhost:{port} from this host"
    with pytest.raises(TestbedError, match=words), outside(tmp_path, port):
        pass
