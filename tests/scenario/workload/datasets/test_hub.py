"""Each set of the hub is read from its repository's own file, wherever that is."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from testbed.errors import TestbedError
from testbed.scenario.workload.datasets import DATASETS, dataset_notes, describe, load
from testbed.scenario.workload.datasets.hub import HUB, HubDataset
from tests import ROOT
from tests.scenario.workload.datasets.layouts import LAYOUTS, write_layout


def in_folder(name: str, folder: Path) -> HubDataset:
    dataset = DATASETS[name]
    assert isinstance(dataset, HubDataset)
    return dataclasses.replace(dataset, folder=str(folder))


def test_there_is_a_layout_of_each() -> None:
    assert {dataset.name for dataset in HUB} == LAYOUTS.keys()


@pytest.mark.parametrize("name", [name for name, of in DATASETS.items() if of in HUB and of.labels])
def test_reviews_are_cleaned_and_their_numbers_are_labels(name: str, tmp_path: Path) -> None:
    write_layout(name, tmp_path)
    examples = load(in_folder(name, tmp_path), "test")
    assert [(example.row, example.text, example.reference) for example in examples] == [
        (0, "Poor dull br long.", "negative"),
        (1, "It 's good -- really good !", "positive"),
        (2, "Never again?", "negative"),
    ]
    assert load(in_folder(name, tmp_path), "train") == ()


@pytest.mark.parametrize("name", ["wmt16", "wmt19", "opus100"])
def test_sentences_to_translate_are_english_and_keep_their_signs(name: str, tmp_path: Path) -> None:
    write_layout(name, tmp_path)
    first, *_ = load(in_folder(name, tmp_path), "test")
    assert (first.text, first.reference) == ("A sentence (with signs): 5%.", "Ein Satz (mit Zeichen): 5 %.")


def test_an_answer_to_a_question_is_its_final_number(tmp_path: Path) -> None:
    write_layout("openai/gsm8k", tmp_path)
    examples = load(in_folder("openai/gsm8k", tmp_path), "test")
    assert [example.reference for example in examples] == ["2125", "18", "-2"]
    assert examples[1].text == "What is 2 * 9 (in $)?"


def test_a_row_without_text_is_left_out_and_the_others_keep_their_numbers(tmp_path: Path) -> None:
    write_layout("yelp_polarity", tmp_path, [("fine", 1), ("§§", 0), ("bad", 0)])
    assert [example.row for example in load(in_folder("yelp_polarity", tmp_path), "test")] == [0, 2]


def test_what_is_not_the_whole_set_is_noted_and_described(tmp_path: Path) -> None:
    path = write_layout("sst2", tmp_path)
    dataset = in_folder("sst2", tmp_path)
    assert dataset_notes(dataset) == [f"sst2: {path} has 3 rows, and the hub's nyu-mll/glue has 872"]
    assert describe(dataset) == {
        "name": "sst2",
        "split": "test",
        "rows": 3,
        "cleaning": "paper",
        "source": {
            "hub": "nyu-mll/glue",
            "file": "sst2/validation-00000-of-00001.parquet",
            "revision": None,
            "path": str(path),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        },
    }


def refusal(dataset: HubDataset) -> str:
    with pytest.raises(TestbedError) as caught:
        load(dataset, "test")
    return str(caught.value)


def test_a_file_that_is_not_there_or_is_another_is_refused(tmp_path: Path) -> None:
    dataset = in_folder("sst2", tmp_path)
    assert refusal(dataset) == (
        f"{tmp_path} has no sst2/validation-00000-of-00001.parquet, which sst2 is read from; "
        "copy it from the hub's nyu-mll/glue"
    )
    path = write_layout("sst2", tmp_path, [("hidden", -1, 0)])
    assert "row 0 (counted from 0) has the label -1, and sst2 has 2" in refusal(dataset)
    write_layout("sst2", tmp_path, [("unknown", None, 0)])
    assert "row 0 (counted from 0) has no label" in refusal(dataset)
    write_layout("sst2", tmp_path, [])
    assert "holds no prompt" in refusal(dataset)
    pq.write_table(pa.table({"text": ["good"], "label": [1]}), path)
    assert refusal(dataset) == f"{path}: has no column 'sentence'; it has 'text', 'label'"
    path.write_bytes(b"PAR1 and no more PAR1")
    assert f"{path}: cannot be read as Parquet" in refusal(dataset)


OFFLINE = """
import json
from testbed.errors import TestbedError
from testbed.scenario.workload.datasets import DATASETS, describe, load
try:
    print(json.dumps([len(load("sst2", "test")), describe(DATASETS["sst2"])["source"]["revision"]]))
except TestbedError as error:
    print(json.dumps(str(error)))
"""


def offline(home: Path) -> object:
    """What a process that may ask no hub makes of ``sst2``, with the hub's library at home in ``home``."""
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE],
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


def test_without_a_hub_a_set_is_read_from_the_hubs_own_cache(tmp_path: Path) -> None:
    said = offline(tmp_path)
    assert isinstance(said, str)
    assert "data set sst2: sst2/validation-00000-of-00001.parquet of nyu-mll/glue cannot be had" in said
    assert said.endswith("write dataset: {name: sst2, path: DIRECTORY}")
    kept = tmp_path / "hub" / "datasets--nyu-mll--glue"
    revision = "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"
    write_layout("sst2", kept / "snapshots" / revision)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(revision)
    assert offline(tmp_path) == [3, revision]
