"""What a kind of task is, and how one is found by name."""

from __future__ import annotations

import re
from abc import ABC
from collections.abc import Sequence
from typing import Annotated, Literal

from tiers.errors import ConfigError
from tiers.parameters import Like
from tiers.plain import told
from tiers.plugins import external
from tiers.variants import Variants

TEXT = "{text}"
"""Where a template has the prompt. No other braces mean anything."""
_TEMPLATE = r"(?s)(?!.*\{text\}.*\{text\}).*\{text\}.*"
Template = Annotated[str, Like(_TEMPLATE, "a text that has {text} in it once")]
Scorer = Literal["accuracy", "bleu", "exact_match", "score", "none"]
"""How the answers to many requests become figures (:mod:`testbed.results.scorers`)."""


class Task(ABC):  # noqa: B024 (a kind may well add nothing but a template)
    """A kind of task. What is said here of a kind is a class's own business: nothing is passed to it.

    Attributes:
        template: what a model is asked, with ``{text}`` once for the prompt. Only models that read text by
            prompts get it; what crosses a link is the prompt alone.
        confidence: of a produced answer, unless the tier's model names another. That of a classifier follows
            from its outputs.
        scorer: the figures of a method. A class from outside the repository has ``score``: the mean.
        judges: whether :meth:`score` says of each answer by itself whether it is right: 1, or wrong: 0.
        needs_reference: whether answers are held against references at all.
    """

    template: str = TEXT
    confidence: str = "inverse_perplexity"
    scorer: Scorer = "score"
    judges: bool = False
    needs_reference: bool = True

    def score(self, answer: str, reference: str) -> float | None:
        """How good one answer is, in [0, 1]; ``None`` where that is a question of all answers together."""
        return None


TASKS: Variants[Task] = Variants(
    "task kind", "tiers.tasks", Task, older={"sequence-to-sequence": "translation"}
)


def make_task(kind: str, plugins: Sequence[str] = ()) -> Task:
    """The kind of task of that name: one of :data:`TASKS`, or ``file.py:Class``.

    Raises:
        ConfigError: there is none, it cannot be made, or its template lacks its place for the prompt.
    """
    try:
        task = TASKS.find(kind, plugins)()
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:
        if external(kind) is None:
            raise
        raise ConfigError(f"task kind {kind}: {told(error)}") from error
    try:
        check_template(task.template)
    except ValueError as error:
        raise ConfigError(f"task kind {kind}: its template {error}") from None
    if external(kind) and type(task).score is Task.score:
        raise ConfigError(f"task kind {kind}: {type(task).__name__} judges nothing; give it a method score")
    return task


def scorer_of(kind: str) -> Scorer:
    """The name of a kind's scorer; of a class from outside, without a look at its file."""
    return "score" if external(kind) else TASKS.find(kind).scorer


def check_template(template: object) -> None:
    """Nothing, if it is a text that has a place for the prompt.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(template, str) or not re.fullmatch(_TEMPLATE, template):
        raise ValueError(f"must be a text that has {TEXT} in it once, not {str(template)[:60]!r}")


def fill(template: str, text: str) -> str:
    """The template with ``text`` in its place."""
    return template.replace(TEXT, text)
