"""What a checkpoint calls its classes, in the words that references are written in."""

from __future__ import annotations

import pytest

from tiers.errors import ConfigError
from tiers.models.checkpoint.labels import in_the_tasks_words

TASK = ("negative", "positive")


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (["negative", "positive"], (["negative", "positive"], False)),
        (["NEGATIVE", "POSITIVE"], (["negative", "positive"], False)),
        (["Positive", "Negative"], (["positive", "negative"], False)),
        (["LABEL_0", "LABEL_1"], (["negative", "positive"], True)),
    ],
)
def test_labels_keep_the_checkpoints_order_and_take_the_tasks_spelling(
    own: list[str], expected: tuple[list[str], bool]
) -> None:
    assert in_the_tasks_words(own, TASK) == expected


@pytest.mark.parametrize(
    "own",
    [
        ["neg", "pos"],
        ["negative", "neutral", "positive"],
        ["LABEL_0", "LABEL_1", "LABEL_2"],
        ["LABEL_1", "LABEL_0"],
        ["LABEL_0"],
        ["negative", "negative"],
    ],
)
def test_labels_that_no_answer_could_be_right_with_are_refused(own: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"answers with .*; the task's labels are negative, positive"):
        in_the_tasks_words(own, TASK)


def test_without_labels_of_the_task_the_checkpoints_own_stand() -> None:
    assert in_the_tasks_words(["LABEL_0", "b"], ()) == (["LABEL_0", "b"], False)
