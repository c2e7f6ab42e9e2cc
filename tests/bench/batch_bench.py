"""How fast a tier serves: what batches bring by model, what it adds of its own, and whether it grows.

    python -m tests.bench.batch_bench [--models device,edge] [--batch 8] [--wait-ms 2] [--seconds 6]

The tier is the server that a container runs, in a process of its own with one torch thread, asked over
loopback by clients that each wait for their answer. Beside it stand the same checkpoints as the paper's
authors run theirs: one prompt after another in one process, without a network, with torch's own number of
threads. Everybody is asked the same prompts, as often as takes some ``--seconds`` one after another.
*Sequential* is one client without batches.

*Changed* are confidences that are not, to the bit, those of the same prompts alone.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import secrets
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

from testbed.console import Reporter
from testbed.host.embedded.prepare import prepare
from testbed.scenario.workload.datasets import load
from tests import ROOT
from tests.tiers.nodes import (
    HOST,
    LABELS,
    call,
    free_port,
    is_ready,
    node_config,
    prompt_body,
    records_at,
    wait_until,
)
from tiers.config import NODE_VARIABLE
from tiers.protocol import COMPLETIONS_PATH, REQUEST_ID_HEADER, encode_json

CLIENTS = (1, 8, 32)
MAX_NEW_TOKENS = 64
STEP, STEPS = 10_000, 5
MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "268435456",
}
"""The C library's settings in a container (tiers/Dockerfile)."""
NOTHING_UP = {"policy": "recserve", "beta": 0.0}
AUTHORS = """
import json, sys, time
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
path, passes, texts = sys.argv[1], int(sys.argv[2]), json.load(sys.stdin)
tokenizer = AutoTokenizer.from_pretrained(path)
model = AutoModelForSequenceClassification.from_pretrained(path).eval()
def answer(text):
    inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=512)
    with torch.no_grad():
        shares = torch.softmax(model(**inputs).logits, dim=-1)
    return torch.max(shares, dim=-1)
for text in texts[:3]:
    answer(text)
began = time.perf_counter()
for text in texts * passes:
    answer(text)
print(len(texts) * passes / (time.perf_counter() - began), torch.get_num_threads())
"""


class Answer(NamedTuple):
    text: str
    confidence: float


class Served(NamedTuple):
    """What came of asking for a while: answers by prompt, how many a second, their median latency, and the
    CPU time of the node for each.
    """

    answers: dict[str, Answer]
    per_s: float
    p50_ms: float
    cpu_ms: float


class Serving(NamedTuple):
    """A node in a process of its own."""

    port: int
    process: int

    def cpu_ms(self) -> float:
        """The CPU time of all its threads, in the kernel's ticks of 10 ms (proc_pid_stat(5))."""
        fields = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * 1e3 / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(model: dict[str, Any], tier: str = "cloud", **options: Any) -> Iterator[Serving]:
    """A node in a process of its own, ready. Nobody is above one that is not at the top."""
    parent = None if tier == "cloud" else free_port()
    config = node_config(tier, parent, port=free_port(), model=model, **options)
    environment = {**os.environ, **MEMORY, NODE_VARIABLE: encode_json(config).decode()}
    process = subprocess.Popen([sys.executable, "-m", "tiers.server"], cwd=ROOT, env=environment)
    try:
        wait_until(lambda: is_ready(config["port"]), 120)
        yield Serving(config["port"], process.pid)
    finally:
        process.terminate()
        process.wait(20)


def ask_for(node: Serving, texts: Sequence[str], clients: int, requests: int, *, ids: bool = False) -> Served:
    """Ask so many times, ``clients`` at a time, each over a connection of its own; ``ids`` as users send."""
    numbers, run, answers, times_ms = iter(range(requests)), secrets.token_hex(12), {}, []
    began, before_ms = time.perf_counter(), node.cpu_ms()

    def client() -> None:
        with closing(HTTPConnection(HOST, node.port, timeout=60)) as connection:
            for number in numbers:
                text, asked_s = texts[number % len(texts)], time.perf_counter()
                headers = {REQUEST_ID_HEADER: f"{run}-{number:06}"} if ids else {}
                connection.request("POST", COMPLETIONS_PATH, prompt_body(text), headers)
                answer = json.loads(connection.getresponse().read())
                times_ms.append((time.perf_counter() - asked_s) * 1e3)
                step = answer["recserve"]["path"][0]
                answers[text] = Answer(answer["choices"][0]["message"]["content"], step["confidence"])

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s, spent_ms = time.perf_counter() - began, node.cpu_ms() - before_ms
    return Served(answers, requests / took_s, statistics.median(times_ms), spent_ms / requests)


def batches(name: str, path: Path, texts: Sequence[str], options: argparse.Namespace) -> dict[int, float]:
    """Print one model's rates, and return by clients that with batches over one request after another.

    Rounds take turns, and the best of each is shown: what else the machine does can only slow it down.
    """
    model: dict[str, Any] = {"kind": "transformers", "path": str(path)}
    task: dict[str, Any] = {"kind": "classification", "labels": LABELS}
    if translates := name.startswith("translation/"):
        model["max_new_tokens"], task = MAX_NEW_TOKENS, {"kind": "translation"}
    best: dict[tuple[str, int], Served] = {}
    authors: list[tuple[float, str]] = []
    batching = {"batch": options.batch, "batch_wait_s": options.wait_ms / 1e3}
    with serving(model, task=task) as off, serving(model, task=task, **batching) as on:
        nodes = {"off": off, "on": on}
        for node in nodes.values():
            ask_for(node, texts, options.batch, len(texts) // 2)
        alone = ask_for(off, texts, 1, len(texts))
        passes = max(1, round(options.seconds * alone.per_s / len(texts)))
        for _ in range(options.rounds):
            if not translates:
                authors.append(authors_way(path, passes, texts))
            for clients, (which, node) in itertools.product(CLIENTS, nodes.items()):
                served = ask_for(node, texts, clients, passes * len(texts))
                best[which, clients] = max(best.get((which, clients), served), served, key=_rate)
        records = records_at(on.port)[-passes * len(texts) :]
    print(f"{name}:")
    for rate, threads in sorted(authors)[-1:]:
        print(f"  the authors' way: {rate:.1f}/s with {threads} torch threads", flush=True)
    for clients in CLIENTS:
        each = {which: best[which, clients] for which in nodes}
        for which, served in each.items():
            print(
                f"  {clients:2} clients, {which:3}: {served.per_s:6.1f}/s, p50 {served.p50_ms:6.1f} ms, "
                f"{served.cpu_ms:5.1f} ms of CPU each, {served.per_s / best['off', 1].per_s:.2f} times "
                "the sequential rate"
            )
        print(f"  {clients:2} clients, on over off: {each['on'].per_s / each['off'].per_s:.2f}", flush=True)
    sizes = [record["batch_size"] for record in records]
    changed = _changed(alone.answers, best["on", CLIENTS[-1]])
    print(f"  with {CLIENTS[-1]}, {statistics.harmonic_mean(sizes):.1f} in a batch; {changed}", flush=True)
    return {clients: best["on", clients].per_s / best["off", 1].per_s for clients in CLIENTS}


def _rate(served: Served) -> float:
    return served.per_s


def authors_way(path: Path, passes: int, texts: Sequence[str]) -> tuple[float, str]:
    """How many prompts a second one process answers one after another, and with how many threads."""
    command = [sys.executable, "-c", AUTHORS, str(path), str(passes)]
    done = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, check=True)
    per_s, threads = done.stdout.split()
    return float(per_s), threads


def _changed(alone: dict[str, Answer], served: Served) -> str:
    """How many confidences, and answers, batches changed, and by how much."""
    pairs = [(alone[text], answer) for text, answer in served.answers.items()]
    distances = [abs(one.confidence - other.confidence) for one, other in pairs]
    return (
        f"of {len(pairs)} prompts {sum(distance > 0 for distance in distances)} confidences changed, by "
        f"{max(distances):.1e} at most, and {sum(one.text != other.text for one, other in pairs)} answers"
    )


def own_time(texts: Sequence[str]) -> float:
    """Print what a tier adds to a model that takes no time, and return its median in ms."""
    with serving({"kind": "recorded", "default": {"service_ms": 0}}) as node:
        ask_for(node, texts, 1, 500)
        served = ask_for(node, texts, 1, 3000)
        records = records_at(node.port)[-3000:]
    own, inside = (
        statistics.median(record["own_ms"] + sum(record[name] for name in names) for record in records)
        for names in ((), ("queue_ms", "inference_ms"))
    )
    print(f"a tier's own time: p50 {own:.2f} ms, {inside:.2f} ms with queue and recorded model")
    print(f"  for the client, its own HTTP included: p50 {served.p50_ms:.2f} ms", flush=True)
    return float(own)


def growth(texts: Sequence[str]) -> list[float]:
    """Print a node's anonymous memory, in MB, before and after each 10,000 requests, and return it."""
    memory_mb = []
    with serving({"kind": "recorded", "default": {"service_ms": 0}}, "device", policy=NOTHING_UP) as node:
        for step in range(STEPS + 1):
            if step:
                ask_for(node, texts, 8, STEP, ids=True)
            memory_mb.append(call(node.port, "GET", "/control/status").json["anon_bytes"] / 1e6)
            print(f"after {step * STEP:6,} requests: {memory_mb[-1]:.1f} MB", flush=True)
    return memory_mb


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default="device,edge,cloud,translation/device")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--wait-ms", type=float, default=2)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--prompts", type=int, default=96)
    options = parser.parse_args(argv)
    texts = [example.text for example in load("rotten_tomatoes", "test")[: options.prompts]]
    print(
        f"batches of {options.batch}, wait {options.wait_ms:g} ms; {os.cpu_count()} CPUs, "
        f"load {os.getloadavg()[0]:.1f} before",
        flush=True,
    )
    own_time(texts)
    growth(texts)
    folder = prepare(Reporter().say)
    for name in filter(None, options.models.split(",")):
        batches(name, folder / name, texts, options)


if __name__ == "__main__":
    main(sys.argv[1:])
