"""A tier's server that has many records, in a process of its own, as that of a node with an engine:
``python -m tests.tiers.held_records COUNT [PORT]``.

It prints its port when it is ready, and serves until it is ended.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from tests.tiers.nodes import node_config
from tiers.config import parse_config
from tiers.records import Record
from tiers.server import Node

SHAPE = Record(
    request_id="", inferred=True, confidence=0.5, threshold=0.25, window_seq=0, window_length=10_000,
    kept=False, answer=None, made_up=False, queue_ms=0.0, thread_ms=0.0, inference_ms=0.0, batch_size=1,
    backend_ms=None, upstream_ms=0.0, forward_error=None, repeats=0, tripped=False, skipped=None,
    outcome="answered", arrived_s=0.0, forward_began_s=0.0, forward_answered_s=0.0, handed_over_s=0.0,
    prompt_tokens=20, generated_tokens=4,
)  # fmt: skip
"""Of a request that was inferred here and went up, by a policy with a window."""
FIGURES = (
    "arrived_s", "inferred_s", "forward_began_s", "forward_answered_s", "handed_over_s",
    "queue_ms", "inference_ms", "upstream_ms", "backend_ms",
)  # fmt: skip


def record(number: int) -> Record:
    """One like :data:`SHAPE`, whose figures are its own, as they are of a real one."""
    at_s = 1000 + number / 7
    figures = {name: at_s + step / 3 for step, name in enumerate(FIGURES)}
    decided = {"confidence": 1 / at_s, "threshold": 2 / at_s, "window_seq": 1000 + number}
    words = {"request_id": f"r{number:011d}", "answer": f"answer number {number}"}
    return replace(SHAPE, **figures, **decided, **words)  # type: ignore[arg-type]


def main(count: int, port: int = 0) -> None:
    node = Node(parse_config(node_config("cloud", None, requests=count, port=port, request_threads=500)))
    for number in range(count):
        node.service.method.records.add(record(number))
    node.load(lambda error: sys.exit(f"{error}"))
    print(node.port, flush=True)
    node.run()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
