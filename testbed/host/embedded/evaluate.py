"""Scores a demonstration model on text that it was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

BATCH = 32


def count_right(
    checkpoint: Path, examples: Sequence[tuple[str, str]], progress: Callable[[int, int], None]
) -> int:
    """How many of ``examples``, pairs of text and label, a checkpoint labels correctly.

    It is asked through the pipeline of Transformers.
    """
    from transformers import pipeline
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    classify = pipeline("text-classification", model=str(checkpoint), device="cpu")
    by_length = sorted(examples, key=lambda example: len(example[0]))
    right = 0
    for start in range(0, len(by_length), BATCH):
        batch = by_length[start : start + BATCH]
        answers = classify([text for text, _ in batch], batch_size=BATCH, truncation=True)
        right += sum(answer["label"] == label for answer, (_, label) in zip(answers, batch, strict=True))
        progress(start + len(batch), len(examples))
    return right
