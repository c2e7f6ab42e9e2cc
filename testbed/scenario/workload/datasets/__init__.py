"""Prompts with references, by the name that scenarios and traces have for them.

A name with a slash is the data-set hub's own, beside a set of the same origin that comes from a package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from testbed.errors import TestbedError
from testbed.scenario.workload.datasets.base import TEST_SHARE, Dataset, Example, split_of
from testbed.scenario.workload.datasets.hub import HUB
from testbed.scenario.workload.datasets.packaged import DebianEnDe, Gsm8k, MovieReviews

__all__ = [
    "DATASETS",
    "SPLITS",
    "TEST_SHARE",
    "Dataset",
    "Example",
    "dataset_notes",
    "describe",
    "load",
    "split_of",
    "warm_up_texts",
    "whole",
]

SPLITS = ("train", "test")
DATASETS: Mapping[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        # Pang and Lee, ACL 2005; Hugging Face rotten_tomatoes, train
        MovieReviews("rotten_tomatoes"),
        # Maas et al., ACL 2011; Hugging Face imdb, train
        MovieReviews("imdb"),
        DebianEnDe("debian_en_de"),
        Gsm8k("gsm8k"),
        *HUB,
    )
}
"""By name, as a scenario has it."""
WARM_UP = (
    "This sentence is read before the first request arrives.",
    "The second one is a little longer, so that a model meets more than one length.",
    "Short.",
)


@cache
def load(dataset: str | Dataset, split: str) -> tuple[Example, ...]:
    """All examples of one split of a data set, in the order of its file.

    Raises:
        TestbedError: no such data set or split, or it cannot be had.
    """
    if isinstance(dataset, str):
        if dataset not in DATASETS:
            raise TestbedError(f"no data set {dataset!r}; known are {', '.join(sorted(DATASETS))}")
        dataset = DATASETS[dataset]
    if split not in SPLITS:
        raise TestbedError(f"data set {dataset.name} has no split {split!r}; it has {', '.join(SPLITS)}")
    return tuple(example for example in whole(dataset) if dataset.split_of(example.text) == split)


@cache
def whole(dataset: Dataset) -> Sequence[Example]:
    """All examples of both splits, which are read once."""
    return dataset.read()


def describe(dataset: Dataset) -> dict[str, Any]:
    """What a manifest says of a data set: where its rows come from, how many, and how they are cleaned."""
    return {
        "name": dataset.name,
        "split": "test",
        "rows": len(load(dataset, "test")),
        "cleaning": dataset.cleaning,
        "source": dataset.source(),
    }


def dataset_notes(dataset: Dataset) -> list[str]:
    """What a user should know of a data set's rows, in sentences."""
    return dataset.notes(whole(dataset))


def warm_up_texts(dataset: str | Dataset) -> list[str]:
    """Texts for a tier to infer before anything is measured: of the training split, so of no request.

    A data set that is held out as a whole has none; then they are sentences that it does not have.
    """
    return [example.text for example in load(dataset, "train")[: len(WARM_UP)]] or list(WARM_UP)
