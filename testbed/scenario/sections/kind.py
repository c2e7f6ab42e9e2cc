"""The kind of a scenario's task: one of the tiers' table, or a class in a file of the user's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo

from testbed.errors import TestbedError
from testbed.scenario.reading.mistakes import mistake, nearest
from testbed.scenario.sections.section import CLASS_IN_FILE, find_external, one_of
from tiers.errors import ConfigError
from tiers.plugins import external
from tiers.tasks import TASKS, Scorer, Task, check_template, make_task, scorer_of

CLASSIFICATION = "classification"


def _known(kind: str, info: ValidationInfo) -> str:
    if kind in TASKS:
        return kind
    if found := find_external(kind, info.context):
        return found
    raise mistake(f"no kind of task {kind!r}; {nearest(kind, [*TASKS.names, 'FILE.py:CLASS'])}")


def _placed(template: str) -> str:
    try:
        check_template(template)
    except ValueError as error:
        raise mistake(str(error)) from None
    return template


Kind = Annotated[str, AfterValidator(_known), one_of(TASKS.names, CLASS_IN_FILE)]
"""The ``kind:`` of a task; the file of a class of the user's is named by its absolute path."""
TemplateText = Annotated[str, AfterValidator(_placed)]


def has_labels(kind: str) -> bool:
    """Whether answers are to be among labels."""
    return kind == CLASSIFICATION


def today(kind: str) -> str:
    """The name that a kind has today."""
    return TASKS.today(kind)


def is_for_any_data(kind: str) -> bool:
    """Whether prompts of any data set will do: references do not count, or a user's class reads them."""
    return external(kind) is not None or not needs_reference(kind)


def judges(kind: str) -> bool:
    """Whether an answer by itself is right or wrong; of a user's class nothing is known."""
    return external(kind) is None and TASKS.find(kind).judges


def needs_reference(kind: str) -> bool:
    """Whether answers are held against references."""
    return external(kind) is not None or TASKS.find(kind).needs_reference


def scorer_name(kind: str) -> Scorer:
    """The name of its scorer, without a look at a user's file."""
    return scorer_of(kind)


def right_by(kind: str) -> Callable[[str, str], bool] | None:
    """Whether an answer is right, given its reference; ``None`` for kinds without right and wrong answers."""
    if not judges(kind):
        return None
    task = make_task(kind)
    return lambda answer, reference: task.score(answer, reference) == 1


def task_of(kind: str) -> Task:
    """The kind's own class, made. That of a user's file is loaded into this process.

    Raises:
        TestbedError: it is not there, or not as it must be.
    """
    try:
        return make_task(kind)
    except ConfigError as error:
        raise TestbedError(f"task.kind: {error}") from None
