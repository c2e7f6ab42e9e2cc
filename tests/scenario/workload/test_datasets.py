"""Prompts come cleaned, and the held-out ones stay held out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import TestbedError
from testbed.scenario.workload.datasets import TEST_SHARE, load, split_of, warm_up_texts
from tiers.prompts import clean


@given(st.text())
def test_a_text_is_on_one_side_whatever_its_case(text: str) -> None:
    assert split_of(text) in ("train", "test")
    assert split_of(text) == split_of(text.casefold())


@pytest.mark.parametrize(("name", "total"), [("rotten_tomatoes", 8530), ("imdb", 25_000)])
def test_a_data_set_is_whole_and_split_by_text(name: str, total: int) -> None:
    train, test = load(name, "train"), load(name, "test")
    assert len(train) + len(test) == total
    assert len(test) / total == pytest.approx(TEST_SHARE, abs=0.015)
    assert not {example.text.casefold() for example in train} & {example.text.casefold() for example in test}
    assert not {example.row for example in train} & {example.row for example in test}
    assert {example.reference for example in test} == {"negative", "positive"}
    assert all(example.text == clean(example.text) != "" for example in test)


def test_enough_rotten_tomatoes_are_held_out_to_measure_on() -> None:
    assert len(load("rotten_tomatoes", "test")) >= 1500


def test_a_data_set_or_split_that_does_not_exist_is_refused() -> None:
    with pytest.raises(TestbedError, match="no data set 'sst3'; known are amazon_"):
        load("sst3", "test")
    with pytest.raises(TestbedError, match="has no split 'validation'"):
        load("imdb", "validation")


@pytest.mark.parametrize("name", ["rotten_tomatoes", "imdb"])
def test_tiers_warm_up_by_texts_of_no_request(name: str) -> None:
    texts = warm_up_texts(name)
    assert len(texts) == 3
    assert all(texts)
    assert not {example.text for example in load(name, "test")} & set(texts)
