"""A model's labels in the task's spelling: an answer is right if it is the reference, to the letter."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from tiers.errors import ConfigError

MAX_SHOWN, MAX_SHOWN_CHARACTERS = 5, 40
"""How many strange answers an error shows, and how much of each."""


class Spelling(NamedTuple):
    """The task's label for each of a model's answers; ``by_number`` if numbers alone say which it is."""

    labels: Mapping[str, str]
    by_number: bool


def spell(answers: Collection[str], task: Sequence[str]) -> Spelling:
    """Find the task's label for each of these answers: the same word in any case.

    A checkpoint that never named its classes calls them ``LABEL_0``, ``LABEL_1``, … (Transformers' default).
    If all answers are such, they are the task's labels by number.

    Args:
        answers: what a model says.
        task: the task's labels in the order in which the data set numbers them; without any, answers stand.

    Raises:
        ConfigError: with those that are none of the task's labels.
    """
    if not task:
        return Spelling({answer: answer for answer in answers}, False)
    by_word = {label.casefold(): label for label in task}
    by_number = {f"LABEL_{number}": label for number, label in enumerate(task)}
    strange = [answer for answer in answers if answer.casefold() not in by_word]
    if not strange:
        return Spelling({answer: by_word[answer.casefold()] for answer in answers}, False)
    if by_number.keys() >= set(answers):
        return Spelling({answer: by_number[answer] for answer in answers}, True)
    shown = [answer[:MAX_SHOWN_CHARACTERS] for answer in strange[:MAX_SHOWN]]
    if len(strange) > MAX_SHOWN:
        shown.append(f"and {len(strange) - MAX_SHOWN} more")
    raise ConfigError(f"answers with {', '.join(shown)}; the task's labels are {', '.join(task)}")


def as_label(answer: str, task: Sequence[str]) -> str:
    """The task's label that an answer in free words is, or begins with as a whole word; else the answer."""
    with suppress(ConfigError):
        return spell([answer], task).labels[answer]
    begun = [label for label in task if re.match(rf"{re.escape(label)}(?!\w)", answer, re.IGNORECASE)]
    return max(begun, key=len, default=answer)


def in_the_tasks_words(labels: Sequence[str], task: Sequence[str]) -> tuple[list[str], bool]:
    """The labels of a classifier's classes, in their order, as the task spells them.

    Args:
        labels: what the checkpoint calls its classes.
        task: as :func:`spell` takes them.

    Returns:
        The labels, and whether they are the task's by number alone.

    Raises:
        ConfigError: they are not the task's labels, so that no answer could be right.
    """
    words = f"answers with {', '.join(labels)}; the task's labels are {', '.join(task)}"
    try:
        spelling = spell(labels, task)
    except ConfigError:
        raise ConfigError(words) from None
    spelt = [spelling.labels[label] for label in labels]
    if task and (spelt != list(task) if spelling.by_number else sorted(spelt) != sorted(task)):
        raise ConfigError(words)
    return spelt, spelling.by_number
