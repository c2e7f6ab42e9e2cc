"""What a recorded tier costs: ``python -m tests.bench.recorded_bench [ROWS]``.

Writes an answer matrix of one classifier over so many prompts (100,000 by default) and prints how long it
takes to read and check, and to extract as a run does. Then, of a tier's model in a process of its own: how
long it takes to open, and to look a prompt up and compute its confidence; and the resident memory with the
tier's server loaded.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from testbed.orchestrator.nodes.extract import extract
from testbed.scenario.matrix import Matrix, read_matrix, write_matrix
from testbed.scenario.recorded_rows import TierRows
from testbed.scenario.workload.datasets import Example
from tests import ROOT
from tests.scenario.matrix.made import classifier, matrix, record

ROWS = 100_000
TIER = """
import hashlib, json, sys, time
path, count = sys.argv[1], int(sys.argv[2])
import tiers.server  # with all that a tier serves
from tiers.confidence import confidence_in, make_confidence
from tiers.models.base import ModelConfig, load_model
began = time.perf_counter()
labels = ("negative", "positive")
model = load_model(ModelConfig("recorded", {"rows": path}, "classification", labels, "edge", 1))
opened_s = time.perf_counter() - began
measure = make_confidence(model.confidence)
asked = [f"prompt number {at * 7919 % count}" for at in range(10_000)]
began = time.perf_counter()
for text in asked:
    confidence_in(model.infer(text), measure)
each_us = (time.perf_counter() - began) / len(asked) * 1e6
status = open("/proc/self/status").read()
resident_kib = int(status.partition("VmRSS:")[2].split()[0])
heavy = [name for name in ("torch", "numpy", "pyarrow") if name in sys.modules]
figures = {"opened_ms": opened_s * 1e3, "each_us": each_us, "resident_mb": resident_kib / 1e3}
print(json.dumps({**figures, "heavy": heavy}))
"""


def made(count: int) -> tuple[Matrix, list[Example]]:
    """A matrix of one classifier, whose answers take no time, and what it was asked."""
    prompts = [f"prompt number {at}" for at in range(count)]
    logits = np.random.default_rng(1).normal(size=(count, 2)).tolist()
    model = classifier("edge", logits)
    times = {"samples": 1, "mean": 0.0, "p50": 0.0, "p95": 0.0}
    records = {"edge": record(service_ms=times)}
    model = type(model)(**{**vars(model), "service_ms": [0.0] * count})
    whole = matrix(model, prompts=prompts, rows=range(count), records=records)
    return whole, [Example(at, prompt, "negative") for at, prompt in enumerate(prompts)]


def main(count: int = ROWS) -> dict[str, float]:
    """Print the figures, and return them."""
    whole, asked = made(count)
    figures: dict[str, float] = {"rows": count}
    with tempfile.TemporaryDirectory(prefix="testbed-bench-") as scratch:
        path, rows = Path(scratch, "m.parquet"), Path(scratch, "edge.sqlite")
        write_matrix(whole, path)
        figures["matrix_mb"] = path.stat().st_size / 1e6
        began = time.perf_counter()
        read = read_matrix(path)
        figures["read_s"] = time.perf_counter() - began
        began = time.perf_counter()
        by_prompt = {key: at for at, key in enumerate(read.prompt_sha256)}
        extract(TierRows("bench", str(path), "edge", read, by_prompt), asked, rows, own_times=True)
        figures["extract_s"] = time.perf_counter() - began
        figures["rows_mb"] = rows.stat().st_size / 1e6
        command = [sys.executable, "-c", TIER, str(rows), str(count)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=True)
    told = json.loads(done.stdout)
    assert not told.pop("heavy"), "a recorded tier imports what it does not need"
    figures |= told
    for name, value in figures.items():
        print(f"{name}: {value:,.1f}" if isinstance(value, float) else f"{name}: {value:,}")
    return figures


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
