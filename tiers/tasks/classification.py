"""One of the task's labels for each prompt."""

from __future__ import annotations

from tiers.tasks.base import Task


class Classification(Task):
    """One of the labels; right is the reference, to the letter. Classifiers read the prompt as it is."""

    scorer = "accuracy"
    judges = True

    def score(self, answer: str, reference: str) -> float:
        return float(answer == reference)
