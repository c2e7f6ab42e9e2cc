"""A sentence in another language for each prompt."""

from __future__ import annotations

from tiers.tasks.base import Task


class Translation(Task):
    """A translation. BLEU and chrF are of all answers together, so that one by itself has no score."""

    scorer = "bleu"
