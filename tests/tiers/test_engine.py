"""The process of an engine's container: what it is told, and what it says when it cannot serve."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests import ROOT
from tiers.engine import ENGINE_VARIABLE, EngineConfig, parameters, read_config


def test_nothing_is_carried_from_one_request_to_the_next() -> None:
    config = read_config({ENGINE_VARIABLE: '{"gguf": "x.gguf", "served_as": "x", "slots": 3, "threads": 2}'})
    assert config == EngineConfig("x.gguf", "x", slots=3, threads=2)
    found = parameters(config)
    assert (found.cache_prompt, found.cache_ram_mib) == (False, 0)
    assert (found.n_ctx, found.n_parallel) == (3 * 2048, 3)
    assert (found.cpuparams.n_threads, found.cpuparams_batch.n_threads) == (2, 2)


def test_a_file_that_llama_cpp_cannot_load_ends_with_its_reason(tmp_path: Path) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF" + bytes(100))
    told = json.dumps({"gguf": str(bad), "served_as": "bad", "host": "127.0.0.1", "port": 0})
    done = subprocess.run(
        [sys.executable, "-m", "tiers.engine"],
        env={**os.environ, ENGINE_VARIABLE: told},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    last = done.stdout.splitlines()[-1]
    assert last.startswith("llama.cpp cannot serve the GGUF file: ")
    assert "failed to load model" in last
    assert "Traceback" not in done.stderr
