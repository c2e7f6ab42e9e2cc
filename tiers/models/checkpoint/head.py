"""What the outputs of a classifier mean, by its configuration: as ``transformers.pipeline`` reads it."""

from __future__ import annotations

from typing import Any

from tiers.errors import ConfigError

CONFIDENCES = {None: "max_softmax", "single_label_classification": "max_softmax",
               "multi_label_classification": "sigmoid"}  # fmt: skip
"""The confidence that is the pipeline's score, by ``problem_type``. Neither reads ``function_to_apply``."""


def confidence_of(config: Any, path: str) -> str:
    """The name of the confidence that is the pipeline's score of a classifier's answer.

    Raises:
        ConfigError: its outputs are no scores of classes.
    """
    kind = config.problem_type
    if kind not in CONFIDENCES:
        raise ConfigError(
            f"checkpoint {path} has the problem_type {kind} in its config.json, whose output is no "
            "confidence; bring a classifier of one label"
        )
    if config.num_labels < 2:
        raise ConfigError(
            f"checkpoint {path} has a single output, so that every prompt would get the same answer; bring a "
            "classifier with an output for each label"
        )
    return CONFIDENCES[kind]


def labels_of(config: Any, path: str) -> list[str]:
    """What a classifier calls its classes, in the order of its outputs.

    Raises:
        ConfigError: ``id2label`` does not name them all.
    """
    names = config.id2label
    if unnamed := [at for at in range(config.num_labels) if at not in names]:
        raise ConfigError(
            f"checkpoint {path} has {config.num_labels} labels, and id2label in its config.json has none for "
            f"output {unnamed[0]}; number them from 0 without gaps"
        )
    return [str(names[at]) for at in range(config.num_labels)]
