"""A user's own file is a data set: every row of it is asked, and one that cannot be is named."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.scenario.workload.datasets import dataset_notes, describe, load
from testbed.scenario.workload.datasets.base import Cleaning, Example
from testbed.scenario.workload.datasets.own import OwnFile


def own(
    folder: Path,
    content: str,
    labels: tuple[str, ...] = (),
    cleaning: Cleaning = "none",
    reference: str | None = "label",
) -> OwnFile:
    path = folder / "mine.csv"
    path.write_text(content, encoding="utf-8")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return OwnFile("mine", "classification", labels, cleaning, str(path), "question", reference, digest)


def refusal(dataset: OwnFile) -> str:
    with pytest.raises(TestbedError) as caught:
        load(dataset, "test")
    return str(caught.value)


def test_rows_are_counted_from_0_and_all_are_held_out(tmp_path: Path) -> None:
    dataset = own(tmp_path, "id,question,label\n7,What (now)?,no\n8,And then?,yes\n")
    assert load(dataset, "test") == (Example(0, "What (now)?", "no"), Example(1, "And then?", "yes"))
    assert load(dataset, "train") == ()
    assert dataset_notes(dataset) == []


def test_it_is_cleaned_where_the_scenario_says_so(tmp_path: Path) -> None:
    dataset = own(tmp_path, "question,label\nWhat (now)  $5?,no\n", cleaning="paper")
    assert load(dataset, "test") == (Example(0, "What now 5?", "no"),)
    assert describe(dataset)["cleaning"] == "paper"


def test_without_a_column_of_references_there_are_none(tmp_path: Path) -> None:
    assert load(own(tmp_path, "question\nTell me more.\n", reference=None), "test") == (
        Example(0, "Tell me more.", ""),
    )


def test_it_is_described_by_its_columns_and_checksum(tmp_path: Path) -> None:
    dataset = own(tmp_path, "question,label\nWhat?,no\n")
    assert describe(dataset)["source"] == {
        "file": str(tmp_path / "mine.csv"),
        "sha256": dataset.sha256,
        "text": "question",
        "reference": "label",
    }


def test_labels_are_the_references_in_the_order_of_numbers_or_letters(tmp_path: Path) -> None:
    assert own(tmp_path, "question,label\na,10\nb,9\nc,10\n").distinct_references() == ("9", "10")
    assert own(tmp_path, "question,label\na,yes\nb,no\nc,maybe\n").distinct_references() == (
        "maybe",
        "no",
        "yes",
    )


def test_too_many_labels_are_no_labels(tmp_path: Path) -> None:
    rows = "".join(f"a,answer {number}\n" for number in range(1001))
    with pytest.raises(
        TestbedError, match="'label' has 1,001 different values, and a classification has 1,000"
    ):
        own(tmp_path, f"question,label\n{rows}").distinct_references()


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("What?,no\n,yes\n", "mine.csv:3: 'question' is empty; remove the row"),
        ("What?,no\n  ,yes\n", "mine.csv:3: 'question' is empty; remove the row"),
        ("((--)),no\n§§,yes\n", "mine.csv:3: 'question' is empty once cleaned; remove the row"),
        ("What?,\n", "mine.csv:2: 'label' is empty; write it, or remove the row"),
        ("What?,maybe\n",
         "mine.csv:2: 'label' is 'maybe', which is none of the labels [no, yes]; write one of these"),
        ("", "mine.csv: holds no row; write one for each prompt"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_asked_or_scored_is_named(rows: str, sentence: str, tmp_path: Path) -> None:
    assert refusal(own(tmp_path, f"question,label\n{rows}", ("no", "yes"), "paper")).endswith(sentence)


def test_rows_that_say_the_same_again_are_noted(tmp_path: Path) -> None:
    dataset = own(tmp_path, "question,label\nWhat?,no\nWhat?,no\nWhat?,yes\nElse?,no\n")
    assert dataset_notes(dataset) == [
        f"{tmp_path}/mine.csv: 2 of its 4 rows have the text of an earlier one, "
        "1 of them with another reference"
    ]


def test_a_file_that_has_changed_since_is_refused(tmp_path: Path) -> None:
    dataset = own(tmp_path, "question,label\nWhat?,no\n")
    (tmp_path / "mine.csv").write_text("question,label\nWhat else?,no\n")
    assert f"and the scenario says {dataset.sha256}; take the file as it was" in refusal(dataset)
    (tmp_path / "mine.csv").unlink()
    assert refusal(dataset).endswith(
        "mine.csv: cannot be read (No such file or directory); name a file that can"
    )
