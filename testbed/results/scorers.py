"""How answers are scored: one scorer for each kind of task, chosen once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from testbed.results.quality import (
    Answers,
    accuracy,
    accuracy_answered,
    bleu,
    bleu_difference,
    chrf,
    correctness,
)
from testbed.results.statistics import interval_to_json, paired_difference, share_interval


@dataclass(frozen=True)
class Scorer:
    """The figures of quality for one kind of task, and how they are printed.

    ``score(answers, references)`` gives the figures of a method, among them ``key`` and its interval as
    ``key_ci``. ``difference(first, second, references)`` compares two methods on the same requests: the
    second's score less the first's, with its paired interval; ``None`` without requests.
    """

    key: str
    """Name of the score in ``summary.json``."""
    heading: str
    """Name of the score in a printed table."""
    decimals: int
    score: Callable[[Answers, Sequence[str]], dict[str, Any]]
    difference: Callable[[Answers, Answers, Sequence[str]], dict[str, Any] | None]

    @property
    def interval_key(self) -> str:
        """Name of the score's interval in ``summary.json``."""
        return f"{self.key}_ci"

    @property
    def difference_key(self) -> str:
        """Name of the difference from cloud-only in ``summary.json``."""
        return f"{self.key}_vs_cloud_only"


def _accuracy(answers: Answers, references: Sequence[str]) -> dict[str, Any]:
    right = correctness(answers, references)
    return {
        "accuracy": accuracy(answers, references),
        "accuracy_ci": interval_to_json(share_interval(sum(right), len(right))),
        "accuracy_answered": accuracy_answered(answers, references),
    }


def _accuracy_difference(first: Answers, second: Answers, references: Sequence[str]) -> dict[str, Any] | None:
    if not references:
        return None
    compared = paired_difference(correctness(first, references), correctness(second, references))
    return {
        "difference": compared.difference,
        "ci": interval_to_json(compared.interval),
        "p_value": compared.p_value,
    }


def _bleu(answers: Answers, references: Sequence[str]) -> dict[str, Any]:
    scored = bleu(answers, references)
    return {
        "bleu": scored and scored.score,
        "bleu_ci": interval_to_json(scored and scored.interval),
    }


def _translation(answers: Answers, references: Sequence[str]) -> dict[str, Any]:
    scored = chrf(answers, references)
    return {
        **_bleu(answers, references),
        "chrf": scored and scored.score,
        "chrf_ci": interval_to_json(scored and scored.interval),
    }


def _bleu_difference(first: Answers, second: Answers, references: Sequence[str]) -> dict[str, Any] | None:
    compared = bleu_difference(first, second, references)
    return compared and {"difference": compared.score, "ci": interval_to_json(compared.interval)}


SCORERS = {
    "classification": Scorer("accuracy", "accuracy", 3, _accuracy, _accuracy_difference),
    "translation": Scorer("bleu", "BLEU", 1, _translation, _bleu_difference),
    "sequence-to-sequence": Scorer("bleu", "BLEU", 1, _bleu, _bleu_difference),
}
"""By a task's ``kind``."""
