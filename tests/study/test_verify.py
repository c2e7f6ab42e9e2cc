"""A matrix from another machine is held against the data set and the embedded models that are here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from testbed.errors import TestbedError
from testbed.host.embedded.revision import embedded_revision
from testbed.scenario.matrix import Matrix
from testbed.scenario.workload.datasets import load
from testbed.study.verify import held_against_data, held_against_models
from tests.scenario.matrix.made import classifier, matrix, record


def of_data(count: int) -> Matrix:
    examples = load("rotten_tomatoes", "test")[:count]
    return matrix(
        classifier("edge", [[0.0, 1.0]] * count),
        prompts=[example.text for example in examples],
        rows=[example.row for example in examples],
        references=[example.reference for example in examples],
    )


def test_prompts_and_references_that_are_the_data_sets_are_told() -> None:
    assert held_against_data(of_data(20)) == (
        "prompts and references are those of 20 of the 2044 rows of rotten_tomatoes, test"
    )
    assert "of all rows of rotten_tomatoes" in held_against_data(of_data(2044))


def test_those_that_are_not_are_refused() -> None:
    whole = of_data(20)
    wrong = ["negative" if reference == "positive" else "positive" for reference in whole.references]
    for other in (replace(whole, prompt_sha256=[b"x" * 32] * 20), replace(whole, references=wrong)):
        with pytest.raises(TestbedError, match="20 of its 20 rows are not rotten_tomatoes's as it is here"):
            held_against_data(other)


def test_a_data_set_that_is_not_known_here_is_not_compared() -> None:
    assert held_against_data(matrix(dataset="mine")) == (
        "prompts not compared: no data set mine is known here"
    )


def test_embedded_models_are_the_ones_here_or_not() -> None:
    revisions = {"edge": embedded_revision("edge"), "cloud": "sha256:00"}
    records = {
        name: record(kind="embedded", model=f"embedded/{name}", revision=revision)
        for name, revision in revisions.items()
    }
    made = matrix(classifier("edge"), classifier("cloud"), records=records)
    assert held_against_models(made) == [
        "edge: embedded/edge is the one here",
        "cloud: embedded/cloud is not the one that is here",
    ]
