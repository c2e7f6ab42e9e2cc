"""Matrices become a study with the trace that a scenario would have, or are refused in one sentence."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from testbed.errors import TestbedError
from testbed.scenario.matrix import Matrix
from testbed.scenario.requests import draw_trace
from testbed.scenario.sections.trace import DrawnTrace
from testbed.scenario.workload.datasets import load
from testbed.study.what_if.matrices import Wanted, study_of_matrices
from testbed.study.what_if.study import Study
from tests.scenario.matrix.made import classifier, generator, matrix, record
from tests.study.what_if.made import made_matrix, made_study


def study(*matrices: Matrix, **wanted: Any) -> Study:
    named = [(Path(f"{number}.parquet"), made) for number, made in enumerate(matrices, start=1)]
    return study_of_matrices(named, Wanted(**wanted))


def refused(*matrices: Matrix, **wanted: Any) -> str:
    with pytest.raises(TestbedError) as caught:
        study(*matrices, **wanted)
    return str(caught.value)


def test_the_trace_is_that_of_a_scenario_whose_held_out_rows_the_matrix_has() -> None:
    rows = [example.row for example in load("rotten_tomatoes", "test")]
    drawn = DrawnTrace.model_validate({"requests": 3000, "arrivals": {"rate_per_s": 1.0}, "seed": 7})
    devices = ["device1", "device2"]
    assert draw_trace(drawn, "rotten_tomatoes", devices, rows) == draw_trace(
        drawn, "rotten_tomatoes", devices
    )


def test_by_default_each_row_is_asked_once_of_one_node_and_all_models_are_tiers() -> None:
    made = study(made_matrix(40))
    assert sorted(request.row for request in made.trace) == list(range(40))
    assert list(made.tiers) == ["device", "edge", "cloud"]
    assert {request.device for request in made.trace} == {"device1"}
    assert made.scenario.seed == 1


def test_a_request_gets_the_answer_reference_and_bytes_of_its_row() -> None:
    source = made_matrix(30)
    made = study(source, requests=70, seed=5, nodes="3,1,1")
    assert len({request.device for request in made.trace}) == 3
    for request, place, size in zip(made.trace, made.places, made.request_bytes, strict=True):
        assert source.rows[place] == request.row
        assert size == source.prompt_bytes[place]
    assert made.tiers["edge"].answers == source.models["edge"].answers


def test_tiers_may_be_chosen_renamed_and_of_several_files() -> None:
    low, high = made_matrix(20, ["small"]), made_matrix(20, ["hub/large", "other"])
    made = study(low, high, tiers="device=small,cloud=hub/large")
    assert list(made.tiers) == ["device", "cloud"]
    assert made.tiers["cloud"].answers == high.models["hub/large"].answers
    assert list(study(low, high, tiers="small,large").tiers) == ["small", "large"]
    assert list(study(low, high).tiers) == ["small", "large", "other"]


def test_calibration_rows_have_no_prompt_of_the_trace_and_are_the_same_for_a_longer_one() -> None:
    made, longer = (made_study(100, requests=requests, calibration=30) for requests in (40, 60))
    assert made.split is not None
    assert longer.split is not None
    assert not set(made.split.places) & set(made.places.tolist())
    assert len(made.split.rows) == len(set(made.split.places)) == 30
    assert made.split.places == longer.split.places
    assert [example.reference for _, example in made.split.rows] == [
        made.references[place] for place in made.split.places
    ]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"tiers": "device,fog"}, "--tiers device,fog: no model 'fog'; "),
        ({"tiers": "device,device=edge"}, "'device' is no name of a tier, or is there twice"),
        ({"tiers": "Device=device"}, "'Device' is no name of a tier"),
        ({"nodes": "2,1"}, "--nodes 2,1: give a number of nodes for each of the tiers device, edge, cloud"),
        ({"nodes": "2,1,0"}, "--nodes 2,1,0: give a number"),
        ({"nodes": "1,2,3"}, "--tiers, --nodes: "),
        ({"requests": 0}, "--requests: must be greater than or equal to 1"),
        ({"requests": 10**9}, "--requests: must be less than or equal to 1000000"),
        ({"seed": -1}, "--seed: must be greater than or equal to 0"),
        ({"calibration": 0}, "--calibration: must be greater than or equal to 1"),
        ({"calibration": 5}, "--calibration: 5 rows are asked for, and the trace leaves 0 of the 12"),
        ({"calibration": 5, "requests": 9}, "and the trace leaves 3 of the 12; ask for fewer"),
    ],
)
def test_an_option_that_does_not_fit_is_named(wanted: dict[str, Any], words: str) -> None:
    assert words in refused(made_matrix(12), **wanted)


def test_models_that_have_no_names_of_tiers_must_be_told_apart() -> None:
    assert "--tiers: say which model each tier has" in refused(made_matrix(5, ["roberta-base-SST-2", "x"]))
    assert "2.parquet: has the model device, as 1.parquet has" in refused(made_matrix(5), made_matrix(5))


def with_header(made: Matrix, **changed: Any) -> Matrix:
    return dataclasses.replace(made, header=made.header.model_copy(update=changed))


def test_matrices_of_other_data_are_not_mixed() -> None:
    first, other = made_matrix(20, ["device"]), made_matrix(20, ["cloud"])
    renamed = with_header(other, dataset=other.header.dataset.model_copy(update={"name": "imdb"}))
    assert "2.parquet: its data set is imdb test, and 1.parquet has rotten_tomatoes test" in refused(
        first, renamed
    )
    assert "its cleaning is none, and 1.parquet has paper" in refused(
        first, with_header(other, cleaning="none")
    )
    task = other.header.task.model_copy(update={"labels": ["a", "b"]})
    assert "its labels is ['a', 'b']" in refused(first, with_header(other, task=task))
    fewer = "2.parquet: lacks 5 of the rows that 1.parquet has, such as 15, 16, 17, …; record both"
    assert fewer in refused(first, made_matrix(15, ["cloud"]))
    assert "1.parquet: lacks 5 of the rows that 2.parquet has" in refused(first, made_matrix(25, ["cloud"]))
    keys = [bytes(32), *other.prompt_sha256[1:]]
    revised = dataclasses.replace(other, prompt_sha256=keys)
    assert "2.parquet: 1 of its 20 prompts are not those of 1.parquet, such as row 0" in refused(
        first, revised
    )


def test_a_confidence_that_a_model_gives_nothing_for_is_one_sentence() -> None:
    made = study(matrix(classifier("device")))
    assert made.tiers["device"].confidences(None) == pytest.approx(
        made.tiers["device"].confidences("seq2class")
    )
    with pytest.raises(TestbedError, match=r"1\.parquet: model device: .*token log-probabilities"):
        made.tiers["device"].confidences("seq2seq")
    with pytest.raises(TestbedError, match=r"1\.parquet: model device: no confidence 'nosuch'; known are "):
        made.tiers["device"].confidences("nosuch")
    own = dataclasses.replace(generator("device"), confidence=[0.5, 0.4, 0.3], token_logprobs=[None] * 3)
    told = study(matrix(own, labels=(), records={"device": record(confidence="seq2seq")}))
    assert told.tiers["device"].confidences(None).tolist() == [0.5, 0.4, 0.3]
    with pytest.raises(TestbedError, match=r"has confidences by seq2seq and nothing to compute sigmoid from"):
        told.tiers["device"].confidences("sigmoid")
    assert told.tiers["device"].confidences("inverse_perplexity").tolist() == [0.5, 0.4, 0.3]  # as seq2seq


def test_a_class_that_a_matrix_names_is_not_run() -> None:
    made = matrix(classifier("device"), records={"device": record(confidence="/gone/mine.py:Mine")})
    with pytest.raises(TestbedError, match=r"with the confidence /gone/mine\.py:Mine, a class in a file"):
        study(made).tiers["device"].confidences(None)
    task = made.header.task.model_copy(update={"kind": "/gone/mine.py:Task"})
    header = made.header.model_copy(update={"task": task})
    assert "its task is /gone/mine.py:Task, a class in a file" in refused(
        dataclasses.replace(made, header=header)
    )
