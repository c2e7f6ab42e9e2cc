"""A text for each prompt, without a right one to hold it against."""

from __future__ import annotations

from tiers.tasks.base import Task


class Generation(Task):
    """A text. There is no reference, so nothing is said of quality; all else is as with any task."""

    scorer = "none"
    needs_reference = False
