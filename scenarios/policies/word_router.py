"""A router with a small learned scorer, as a policy from outside the repository.

A logistic regression over a prompt's words, in hashed buckets, says how sure it is of the prompt's label.
The prompts of which it is least sure go up, before any inference. Its weights are in the .json beside this
file; ``python scenarios/policies/word_router.py`` learns them anew, from rows that no trace has.
"""

import json
import math
import random
import re
import zlib
from pathlib import Path

from tiers.policies import KEEP, Decision, Place, Policy, Request

LEARNT = Path(__file__).with_suffix(".json")
BUCKETS, PASSES, RATE, DECAY = 4096, 6, 0.1, 1e-4


def buckets(text: str) -> list[int]:
    return [zlib.crc32(word.encode()) % BUCKETS for word in set(re.findall(r"\w+", text.casefold()))]


def logit(weights: list[float], text: str) -> float:
    """Log odds that the text is positive."""
    return math.fsum(weights[bucket] for bucket in buckets(text))


class WordRouter(Policy):
    """The ``share`` of prompts that the scorer is least sure of goes up at each tier."""

    knows = ("prompt",)

    def __init__(self, place: Place, *, share: float = 0.3) -> None:
        super().__init__(place)
        learnt = json.loads(LEARNT.read_text())
        self._weights, sureness = learnt["weights"], learnt["sureness"]
        # The device sends up the least sure; of these the edge the least sure, and so on.
        self._least = sureness[round(share ** (place.level + 1) * (len(sureness) - 1))]

    def passes_on(self, request: Request) -> bool:
        return abs(logit(self._weights, request.prompt or "")) < self._least

    def decide(self, confidence: float) -> Decision:
        return KEEP


def learn() -> None:
    """Learn from nine tenths of the training rows; what sureness is usual, from the last tenth."""
    from testbed.scenario.workload.datasets import load  # on the host alone

    rows, draws, weights = list(load("rotten_tomatoes", "train")), random.Random(1), [0.0] * BUCKETS
    draws.shuffle(rows)
    apart, rows = rows[: len(rows) // 10], rows[len(rows) // 10 :]
    for _ in range(PASSES):
        draws.shuffle(rows)
        for row in rows:
            wrong = (row.reference == "positive") - 1 / (1 + math.exp(-logit(weights, row.text)))
            for bucket in buckets(row.text):
                weights[bucket] += RATE * (wrong - DECAY * weights[bucket])
    weights = [round(weight, 3) for weight in weights]
    sureness = sorted(abs(logit(weights, row.text)) for row in apart)
    usual = [round(sureness[round(part / 200 * (len(apart) - 1))], 3) for part in range(201)]
    LEARNT.write_text(json.dumps({"weights": weights, "sureness": usual}) + "\n")
    right = sum((logit(weights, row.text) > 0) == (row.reference == "positive") for row in apart)
    print(f"right on {right} of {len(apart)} rows that it has not learnt from")


if __name__ == "__main__":
    learn()
