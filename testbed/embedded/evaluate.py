"""Score the embedded checkpoints on held-out text: what the table of the demonstration models rests on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from testbed.datasets import Example, load
from testbed.statistics import share_interval

BATCH = 32


@dataclass(frozen=True)
class Score:
    """Accuracy of one rung over ``examples`` held-out texts with its 95 % interval."""

    rung: str
    dataset: str
    examples: int
    accuracy: float
    low: float
    high: float


def evaluate(
    rung: str,
    checkpoint: Path,
    dataset: str,
    limit: int | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Score:
    """Score ``checkpoint`` on the ``test`` split through Transformers' own pipeline."""
    from transformers import pipeline
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    classify = pipeline("text-classification", model=str(checkpoint), device="cpu")
    examples = _sample(load(dataset, "test"), limit)
    by_length = sorted(examples, key=lambda example: len(example.text))
    right = 0
    for start in range(0, len(by_length), BATCH):
        batch = by_length[start : start + BATCH]
        answers = classify([example.text for example in batch], batch_size=BATCH, truncation=True)
        right += sum(
            answer["label"] == example.reference for answer, example in zip(answers, batch, strict=True)
        )
        progress(start + len(batch), len(examples))
    low, high = share_interval(right, len(examples))
    return Score(rung, dataset, len(examples), right / len(examples), low, high)


def _sample(examples: tuple[Example, ...], limit: int | None) -> tuple[Example, ...]:
    """Every so-manieth example: the files are sorted by label."""
    if limit is None or limit >= len(examples):
        return examples
    return tuple(examples[at * len(examples) // limit] for at in range(limit))
