"""docs/RESULTS.md has each key of ``summary.json``, and no other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from testbed.results.scorers import SCORERS
from testbed.results.shape import Shape
from testbed.results.summary_shape import Summary
from tests import ROOT

PAGE = (ROOT / "docs" / "RESULTS.md").read_text()
CHAPTER = PAGE.partition("## `summary.json`")[2].partition("\n## ")[0]
KINDS = ("classification", "translation", "question", "generation", "mine.py:Mine")
KEPT = json.loads((ROOT / "tests" / "data" / "run-v6" / "summary.json").read_text())


def shapes(annotation: Any) -> Iterator[type[Shape]]:
    """A shape, and those that its values may have, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, Shape):
        yield annotation
        for field in annotation.model_fields.values():
            yield from shapes(field.annotation)
    for part in get_args(annotation):
        yield from shapes(part)


METHOD, *PARTS = shapes(Summary.model_fields["methods"].annotation)
OF_A_METHOD = set(METHOD.model_fields)
DECLARED = OF_A_METHOD.union(*(part.model_fields for part in PARTS))


def named(text: str) -> set[str]:
    """Keys in a text; ``bleu_…`` stands for ``bleu_vs_cloud_only``, ``theory.hops`` for ``hops``."""
    found = {word.removeprefix("theory.") for word in re.findall(r"`([\w.…]+)`", text)}
    return {re.sub(r"_…$", "_vs_cloud_only", word) for word in found}


def test_each_key_is_on_the_page() -> None:
    assert DECLARED - named(CHAPTER) == set()


def test_each_key_of_the_pages_tables_is_one() -> None:
    first = " ".join(re.findall(r"^\| (`.*?`(?: \(or .*?\))?) \|", CHAPTER, re.MULTILINE))
    assert len(named(first)) > 60
    assert named(first) - DECLARED == set()


@pytest.mark.parametrize("kind", KINDS)
def test_each_score_of_a_kind_of_task_is_a_key(kind: str) -> None:
    scorer = SCORERS[kind]
    assert {*scorer.score([], []), scorer.key, scorer.interval_key, scorer.difference_key} <= OF_A_METHOD


def test_a_run_has_the_keys_that_are_declared_but_for_scores_of_other_tasks_and_costs() -> None:
    other = {key for kind in KINDS for key in (*SCORERS[kind].score([], []), SCORERS[kind].difference_key)}
    cost = {key for key in OF_A_METHOD if key.startswith("cost")}
    for figures in KEPT["methods"].values():
        assert set(figures) <= OF_A_METHOD
        assert OF_A_METHOD - set(figures) - other - cost <= {"vs_cloud_only_reason"}
