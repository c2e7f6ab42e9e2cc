"""The transformers model against ``transformers.pipeline``, and generation against its own arithmetic."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from testbed.host.embedded.base import load_base
from testbed.host.embedded.ladder import RUNGS
from tests import ROOT
from tests.tiers.checkpoints import (
    SIZES,
    TEXTS,
    assert_same,
    load,
    ours,
    pipelines,
    save_classifier,
    small_classifier,
    word_tokenizer,
)
from tests.tiers.nodes import node_config
from tiers.confidence.inverse_perplexity import inverse_perplexity
from tiers.errors import ConfigError
from tiers.models.base import ModelConfig, load_model

pytestmark = [pytest.mark.models, pytest.mark.timeout(600)]


@pytest.fixture(scope="module", params=["device", "edge"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model of the ladder with a head that was never trained: its scores still must agree."""
    import torch

    torch.manual_seed(4)
    model, tokenizer = load_base(RUNGS[request.param])
    folder = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)


def test_embedded_checkpoints_answer_as_the_pipeline_and_import_little(checkpoint: Path) -> None:
    found = ours(checkpoint)
    assert_same(found, pipelines(checkpoint))
    assert found["lean"]
    assert found["heavy"] == []
    assert found["anon_bytes"] < 350e6


@pytest.mark.parametrize("checkpoint", ["device"], indirect=True)
def test_lean_and_plain_imports_give_the_same_bits(checkpoint: Path) -> None:
    plain = ours(checkpoint, lean=False)
    assert plain["lean"] is False
    assert plain["answers"] == ours(checkpoint)["answers"]


@pytest.mark.parametrize("family", ["Bert", "Roberta", "Llama", "DistilBert"])
def test_every_architecture_of_the_lean_import_answers_as_the_pipeline(family: str, tmp_path: Path) -> None:
    found = ours(save_classifier(tmp_path, family))
    assert found["lean"]
    assert_same(found, pipelines(tmp_path))


@pytest.mark.parametrize("whole", [True, False], ids=["encoder-decoder", "causal"])
def test_produced_sequences_carry_the_models_own_token_probabilities(whole: bool, tmp_path: Path) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

    torch.manual_seed(2)
    size = word_tokenizer(tmp_path)
    if whole:
        common = {"d_model": 32, "d_ff": 64, "d_kv": 8, "num_layers": 2, "num_heads": 4}
        made: Any = T5ForConditionalGeneration(
            T5Config(vocab_size=size, decoder_start_token_id=0, pad_token_id=0, eos_token_id=2, **common)
        )
    else:
        sizes = {key: value for key, value in SIZES.items() if key != "num_labels"}
        made = LlamaForCausalLM(LlamaConfig(vocab_size=size, eos_token_id=2, bos_token_id=2, **sizes))
    made.save_pretrained(tmp_path)
    options = {"path": str(tmp_path), "max_new_tokens": 6}
    model = load_model(ModelConfig("transformers", options, "translation", (), "x", 1))
    output = model.infer(TEXTS[0])
    assert output.token_logprobs is not None
    assert 1 <= len(output.token_logprobs) <= 6
    assert output.completion_tokens == len(output.token_logprobs)

    tokenizer = __import__("transformers").AutoTokenizer.from_pretrained(tmp_path)
    prompt = torch.tensor([tokenizer(TEXTS[0])["input_ids"]])
    with torch.inference_mode():
        produced = made.eval().generate(prompt, max_new_tokens=6, do_sample=False)[0]
        answer = produced[1:] if whole else produced[prompt.shape[1] :]
        if whole:
            logits = made(input_ids=prompt, decoder_input_ids=produced[None, :-1]).logits[0]
        else:
            logits = made(produced[None, :-1]).logits[0, prompt.shape[1] - 1 :]
    scores = torch.log_softmax(logits.double(), -1).gather(1, answer[:, None]).squeeze(1).tolist()
    assert output.token_logprobs == pytest.approx(scores, abs=1e-4)
    assert output.prompt_tokens == prompt.shape[1]
    assert output.cut_off is (int(answer[-1]) != 2)
    alone, together = [model.infer(text) for text in TEXTS[:6]], model.infer_many(TEXTS[:6])
    for one, same in zip(alone, together, strict=True):
        assert replace(same, token_logprobs=None) == replace(one, token_logprobs=None)
        assert same.token_logprobs == pytest.approx(one.token_logprobs, abs=1e-4)
    assert (
        0
        < inverse_perplexity(output.token_logprobs)
        == pytest.approx(math.exp(sum(scores) / len(scores)), abs=1e-4)
    )


def test_a_checkpoint_with_code_of_its_own_or_without_safetensors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no checkpoint directory"):
        load(tmp_path / "missing")
    word_tokenizer(tmp_path)
    config = {"architectures": ["Mine"], "model_type": "mine", "auto_map": {"AutoConfig": "mine.Mine"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "mine.py").write_text("raise SystemExit('code of a checkpoint was run')")
    with pytest.raises(ConfigError, match="cannot load checkpoint"):
        load(tmp_path)
    config = {"architectures": ["BertForSequenceClassification"], "model_type": "bert"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ConfigError, match="cannot load checkpoint"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("id2label", "answer", "by_number"),
    [
        (None, "positive", True),
        ({0: "NEGATIVE", 1: "POSITIVE"}, "positive", False),
        ({0: "Positive", 1: "Negative"}, "negative", False),
    ],
)
def test_answers_are_spelt_as_the_task_spells_them(
    id2label: dict[int, str] | None, answer: str, by_number: bool, tmp_path: Path
) -> None:
    options = {"path": str(small_classifier(tmp_path, id2label))}
    task = ("negative", "positive")
    model = load_model(ModelConfig("transformers", options, "classification", task, "x", 1))
    assert model.infer(TEXTS[0]).answer == answer
    assert model.describe()["labels_by_number"] is by_number


def test_a_classifier_counts_tokens_by_its_own_tokenizer(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    options = {"path": str(small_classifier(tmp_path, None)), "max_tokens": 50}
    labels = ("negative", "positive")
    model = load_model(ModelConfig("transformers", options, "classification", labels, "x", 1))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        output = model.infer(text)
        assert output.prompt_tokens == len(tokenizer(text, truncation=True, max_length=50)["input_ids"])
        assert output.completion_tokens == len(tokenizer("positive", add_special_tokens=False)["input_ids"])
    assert model.describe()["tokens"] == "tokenizer"


@pytest.mark.parametrize("family", ["Bert", "Roberta", "Llama", "DistilBert"])
def test_a_classifier_answers_a_batch_as_it_answers_each_text(family: str, tmp_path: Path) -> None:
    model = load(save_classifier(tmp_path, family))
    model.require_batches()
    texts = [*TEXTS, *(f"{text} and then {text}" for text in TEXTS), "ok"]
    alone, together = [model.infer(text) for text in texts], model.infer_many(texts)
    assert len({one.logits[0] for one in alone if one.logits}) > len(TEXTS), "one text is like another"
    for one, same in zip(alone, together, strict=True):
        assert replace(same, logits=None) == replace(one, logits=None)
        assert same.logits == pytest.approx(one.logits, abs=1e-5)
        if family != "DistilBert" and (one.prompt_tokens or 0) > 256:
            assert same.logits == one.logits, "it had a row of its own"


def test_a_batch_of_texts_that_nothing_can_fill_up_is_refused(tmp_path: Path) -> None:
    model = load(save_classifier(tmp_path, "DistilBert", pad_token_id=5))
    assert model.infer(TEXTS[0]).answer
    for act in (lambda: model.infer_many(TEXTS), model.require_batches):
        with pytest.raises(
            ConfigError, match=r"tokenizer says 0 and its config.json 5 .*; take batches of 1"
        ):
            act()


@pytest.mark.parametrize("padding", [2, None], ids=["ends-are-padding", "no-padding"])
def test_a_classifier_that_fills_nothing_up_reads_each_prompt_where_it_reads_it_alone(
    padding: int | None, tmp_path: Path
) -> None:
    model = load(save_classifier(tmp_path, "Llama", pad_token_id=padding))
    model.require_batches()
    texts = ["a fine film </s>", "ok </s> </s>", "</s>", "it begins here"]  # the end's token is of number 2
    alone, together = [model.infer(text) for text in texts], model.infer_many(texts)
    for one, same in zip(alone, together, strict=True):
        assert same.logits == pytest.approx(one.logits, abs=1e-5)


def test_a_tier_whose_checkpoint_has_other_labels_ends_with_one_sentence(tmp_path: Path) -> None:
    path = str(small_classifier(tmp_path, {0: "toxic", 1: "harmless"}))
    config = node_config("cloud", None, model={"kind": "transformers", "path": path})
    ended = subprocess.run(
        [sys.executable, "-m", "tiers.server"],
        env={**os.environ, "TESTBED_NODE": json.dumps(config)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr == (
        f"tier cannot start: checkpoint {path} answers with toxic, harmless; "
        "the task's labels are negative, positive\n"
    )
