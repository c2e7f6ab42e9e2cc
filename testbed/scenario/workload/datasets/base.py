"""What a data set is: prompts with references, by row, in two splits."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tiers.prompts import clean

Cleaning = Literal["paper", "none"]
"""Prompts are cleaned as the paper's code cleans them (:func:`tiers.prompts.clean`), or stay as they are."""
TEST_SHARE = 0.25
"""Share of distinct texts held out of all training; traces are drawn from these alone."""


@dataclass(frozen=True, slots=True)
class Example:
    """One prompt and what a right answer to it is.

    ``row`` is the position in the data set's own file, so that a trace can name the prompt without
    holding its text. ``reference`` is empty where the data set has none.
    """

    row: int
    text: str
    reference: str


@dataclass(frozen=True)
class Dataset(ABC):
    """A corpus by name: the kind of its task, the labels that its references use, and how to read it.

    Attributes:
        name: as traces have it.
        kind: of its task.
        labels: of its references, in the order of their numbers; none but for classification.
        cleaning: what is done to its prompts.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    cleaning: Cleaning

    @abstractmethod
    def read(self) -> list[Example]:
        """All its examples, in the order of its file.

        Raises:
            TestbedError: it cannot be had, or is not as it must be.
        """

    @abstractmethod
    def source(self) -> dict[str, Any]:
        """Where its rows come from, for the manifest. The data set was read before."""

    def split_of(self, _text: str) -> str:
        """The split that a text of it belongs to. All of it is ``test``, unless a kind says otherwise."""
        return "test"

    def notes(self, _examples: Sequence[Example]) -> list[str]:
        """What a user should know of these, which are all of its examples."""
        return []

    def cleaned(self, text: str) -> str:
        """A text of it as a prompt."""
        return clean(text) if self.cleaning == "paper" else text


def split_of(text: str) -> str:
    """Tell whether a cleaned text belongs to ``train`` or ``test``.

    The text's own hash decides, so a sentence that occurs twice, or in two data sets, is never on
    both sides.
    """
    digest = hashlib.sha256(text.casefold().encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return "test" if share < TEST_SHARE else "train"
