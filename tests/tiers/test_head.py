"""What a classifier's outputs mean, and that none of its weights is made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.tiers.checkpoints import (
    SIZES,
    assert_same,
    load,
    ours,
    pipelines,
    save_classifier,
    word_tokenizer,
)
from tiers.errors import ConfigError

pytestmark = [pytest.mark.models, pytest.mark.timeout(600)]


@pytest.mark.parametrize("family", ["Bert", "Electra"])
def test_classes_that_do_not_exclude_one_another_are_scored_as_the_pipeline_does(
    family: str, tmp_path: Path
) -> None:
    kind = "multi_label_classification"
    found = ours(save_classifier(tmp_path, family, problem_type=kind, function_to_apply="none"))
    assert found["lean"] is (family == "Bert")
    assert_same(found, pipelines(tmp_path))


def test_a_function_to_apply_that_the_pipeline_does_not_read_changes_nothing(tmp_path: Path) -> None:
    found = ours(save_classifier(tmp_path, "Bert", function_to_apply="sigmoid"))
    assert_same(found, pipelines(tmp_path))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"problem_type": "regression"},
            "problem_type regression in its config.json, whose output is no conf",
        ),
        ({"num_labels": 1}, "has a single output, so that every prompt would get the same answer"),
        ({"num_labels": 1, "problem_type": "regression"}, "problem_type regression"),
        ({"id2label": {0: "a", 1: "b", 3: "c"}}, "has 3 labels, and id2label .* has none for output 2"),
    ],
)
def test_outputs_that_are_no_scores_of_labels_are_refused(
    settings: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=sentence) as refused:
        load(save_classifier(tmp_path, "Bert", **settings))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("trained_for", ["Model", "ForMaskedLM", "ForTokenClassification"])
def test_a_checkpoint_without_a_trained_head_is_refused_rather_than_answering_at_random(
    trained_for: str, tmp_path: Path
) -> None:
    import transformers

    size = word_tokenizer(tmp_path)
    settings = {**SIZES, "num_labels": 5 if trained_for == "ForTokenClassification" else 2}
    config = transformers.BertConfig(vocab_size=size, **settings)
    getattr(transformers, f"Bert{trained_for}")(config).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"has no weights .* of BertForSequenceClassification") as refused:
        load(tmp_path)
    assert "\n" not in str(refused.value)


def test_weights_that_were_cut_short_end_in_one_sentence(tmp_path: Path) -> None:
    weights = save_classifier(tmp_path, "Bert") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ConfigError, match=r"cannot load checkpoint .*: SafetensorError: "):
        load(tmp_path)


def test_weights_of_another_shape_than_the_configuration_says_end_in_one_sentence(tmp_path: Path) -> None:
    save_classifier(tmp_path, "Bert")
    config = json.loads((tmp_path / "config.json").read_text())
    names = {str(at): f"label {at}" for at in range(4)}
    (tmp_path / "config.json").write_text(json.dumps({**config, "id2label": names}))
    with pytest.raises(
        ConfigError, match=r"holds classifier\.\w+ of the shape \[3.* asks for \[4"
    ) as refused:
        load(tmp_path)
    assert "\n" not in str(refused.value)
