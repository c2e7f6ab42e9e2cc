"""Prompts that an embedded model was trained on: of such, no accuracy says anything."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from testbed.errors import TestbedError
from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.models import EmbeddedEntry
from testbed.scenario.workload.datasets import DATASETS, Example, load
from testbed.scenario.workload.datasets.packaged import MovieReviews

MOST = 0.01
"""Share of the prompts. With more a run is refused: accuracy would be of what was learnt by heart."""
_SIGNS = re.compile(r"[\W_]+")


def learnt_notes(scenario: Scenario, asked: Iterable[Example], whose: str = "trace") -> list[str]:
    """Tell how many prompts the embedded classifiers were trained on, whatever data set they are of.

    Sets share texts: SST-2's sentences are those of Rotten Tomatoes, split otherwise, and some reviews are in
    both halves of IMDB. Letters and digits are compared, for sets separate and space signs in their own ways.

    Raises:
        TestbedError: they are more than 1 %.
    """
    tiers = [tier.name for tier in scenario.tiers if _was_trained_on_reviews(tier.model)]
    if not tiers or isinstance(scenario.task.data, MovieReviews):  # whose own split keeps them apart
        return []
    prompts = {example.text: example.row for example in asked}
    learnt = [row for text, row in prompts.items() if _letters(text) in _trained_on()]
    if not learnt:
        return []
    found = (
        f"{len(learnt):,} of the {whose}'s {len(prompts):,} prompts, such as row {learnt[0]} of "
        f"{scenario.task.data.name}, were in the training of the embedded models"
    )
    if len(learnt) > MOST * len(prompts):
        raise TestbedError(
            f"tiers.{tiers[0]}.model: {found}, so that their accuracy would say nothing; "
            "name models of yours, or the data set rotten_tomatoes or imdb"
        )
    return [f"{found}: their accuracy is a little too good"]


def _was_trained_on_reviews(model: object) -> bool:
    return isinstance(model, EmbeddedEntry) and model.task == "classification"


def _letters(text: str) -> str:
    return _SIGNS.sub("", text.casefold())


@cache
def _trained_on() -> frozenset[str]:
    names = [dataset.name for dataset in DATASETS.values() if isinstance(dataset, MovieReviews)]
    return frozenset(_letters(example.text) for name in names for example in load(name, "train"))
