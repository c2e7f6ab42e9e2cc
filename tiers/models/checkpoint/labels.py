"""A checkpoint's labels in the task's spelling: an answer is right if it is the reference, to the letter."""

from __future__ import annotations

from collections.abc import Sequence

from tiers.errors import ConfigError


def in_the_tasks_words(labels: Sequence[str], task: Sequence[str]) -> tuple[list[str], bool]:
    """The labels of a classifier's classes, in their order, as the task spells them.

    Args:
        labels: what the checkpoint calls its classes.
        task: the task's labels in the order in which the data set numbers them; without any, the
            checkpoint's own stand.

    Returns:
        The labels, and whether they are the task's by number alone: a checkpoint that never named its classes
        calls them ``LABEL_0``, ``LABEL_1``, … (Transformers' default).

    Raises:
        ConfigError: they are not the task's labels, so that no answer could be right.
    """
    if not task:
        return list(labels), False
    spelt = {label.casefold(): label for label in task}
    if sorted(label.casefold() for label in labels) == sorted(spelt):
        return [spelt[label.casefold()] for label in labels], False
    if list(labels) == [f"LABEL_{number}" for number in range(len(task))]:
        return list(task), True
    raise ConfigError(f"answers with {', '.join(labels)}; the task's labels are {', '.join(task)}")
