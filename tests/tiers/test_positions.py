"""Prompts as a checkpoint gets them: its tokenizer's settings, and the cut at what it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tiers.checkpoints import (
    BERT_SETTINGS,
    SIZES,
    TEXTS,
    assert_same,
    bert_tokenizer,
    load,
    ours,
    pipelines,
    save_classifier,
    save_tokenizer,
    word_tokenizer,
)
from tiers.confidence import make_confidence
from tiers.errors import ConfigError
from tiers.models.base import ModelConfig, load_model

pytestmark = [pytest.mark.models, pytest.mark.timeout(600)]


LEFT = {"direction": "Left", "max_length": 128, "strategy": "LongestFirst", "stride": 0}


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ({}, {"do_lower_case": False}),
        ({"lowercase": False}, {"do_lower_case": True}),
        ({"strip_accents": False}, {}),
        ({}, {"strip_accents": False}),
        ({"chinese": False}, {}),
        ({}, {"tokenize_chinese_chars": False}),
        ({"truncation": LEFT}, {}),
        ({}, {"additional_special_tokens": ["MiXeD"]}),
        ({}, {"model_max_length": 20}),
    ],
)
def test_a_setting_that_stands_in_one_of_a_tokenizers_files_counts_as_for_the_pipeline(
    held: dict[str, Any], said: dict[str, Any], tmp_path: Path
) -> None:
    save_classifier(tmp_path, "Bert", vocab_size=500)
    truncation = {"truncation": held["truncation"]} if "truncation" in held else {}
    tokenizer = bert_tokenizer(**{name: value for name, value in held.items() if name != "truncation"})
    save_tokenizer(tmp_path, {**tokenizer, **truncation}, {**BERT_SETTINGS, **said})
    found = ours(tmp_path)
    assert found["lean"]
    assert_same(found, pipelines(tmp_path, said.get("model_max_length", 512)))


@pytest.mark.parametrize(
    ("family", "settings", "held"),
    [
        ("Bert", {}, 130),
        ("DistilBert", {}, 130),
        ("Electra", {"embedding_size": 32}, 130),
        ("Roberta", {"pad_token_id": 1}, 128),
        ("Roberta", {"pad_token_id": 0}, 129),
        ("XLMRoberta", {"pad_token_id": 1}, 128),
        ("Camembert", {"pad_token_id": 1}, 128),
        ("MPNet", {"pad_token_id": 1}, 128),
        ("GPT2", {"n_embd": 32, "n_head": 4, "n_layer": 2}, 130),
        ("OPT", {"ffn_dim": 64, "word_embed_proj_dim": 32}, 130),
    ],
)
def test_prompts_are_cut_to_the_positions_that_a_checkpoint_has(
    family: str, settings: dict[str, int], held: int, tmp_path: Path
) -> None:
    save_classifier(tmp_path, family, max_position_embeddings=130, **settings)
    model = load(tmp_path)
    assert model.describe()["max_tokens"] == held
    measure = make_confidence(model.confidence)
    scored = [(output.answer, measure.of(output)) for output in map(model.infer, TEXTS)]
    expected = pipelines(tmp_path, held)
    assert [answer for answer, _ in scored] == [answer for answer, _ in expected]
    assert [score for _, score in scored] == pytest.approx([score for _, score in expected], abs=1e-6)
    with pytest.raises((IndexError, RuntimeError)):  # so it was not cut too early
        pipelines(tmp_path, held + 1)


def test_rotary_positions_are_held_to_the_length_that_the_checkpoint_was_made_for(tmp_path: Path) -> None:
    found = ours(save_classifier(tmp_path, "Llama", max_position_embeddings=130))
    assert_same(found, pipelines(tmp_path, 130))


def test_prompts_are_cut_at_the_least_of_what_is_asked_for_and_what_is_held(tmp_path: Path) -> None:
    save_classifier(tmp_path, "Bert", max_position_embeddings=300)
    assert load(tmp_path).describe()["max_tokens"] == 300
    assert load(tmp_path, max_tokens=5000).describe()["max_tokens"] == 300
    assert load(tmp_path, max_tokens=20).describe()["max_tokens"] == 20
    settings = tmp_path / "tokenizer_config.json"
    settings.write_text(settings.read_text().replace('"model_max_length": 512', '"model_max_length": 100'))
    assert load(tmp_path).describe()["max_tokens"] == 100


def test_a_limit_that_special_tokens_alone_fill_is_refused(tmp_path: Path) -> None:
    save_classifier(tmp_path, "Bert", vocab_size=500)
    save_tokenizer(tmp_path, bert_tokenizer(), BERT_SETTINGS)
    with pytest.raises(ConfigError, match=r"is given 2 tokens of a prompt .* special tokens alone are 2"):
        load(tmp_path, max_tokens=2)
    assert load(tmp_path, max_tokens=3).infer(TEXTS[-1])


@pytest.mark.parametrize("family", ["GPT2LMHead", "LlamaForCausalLM", "BartForConditionalGeneration"])
@pytest.mark.parametrize("asked", [6, 256])
def test_a_generator_with_few_positions_answers_long_prompts(family: str, asked: int, tmp_path: Path) -> None:
    import transformers

    size = word_tokenizer(tmp_path)
    bart = {
        "d_model": 32,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
    }
    heads = {"encoder_attention_heads": 4, "decoder_attention_heads": 4, "decoder_start_token_id": 2}
    sizes: dict[str, dict[str, Any]] = {
        "GPT2LMHead": {"n_embd": 32, "n_head": 4, "n_layer": 2},
        "LlamaForCausalLM": {key: value for key, value in SIZES.items() if key != "num_labels"},
        "BartForConditionalGeneration": {**bart, **heads, "forced_eos_token_id": None},
    }
    tokens = {"vocab_size": size, "eos_token_id": None, "bos_token_id": 2, "pad_token_id": 0}
    kind = next(kind for kind in ("GPT2", "Llama", "Bart") if family.startswith(kind))
    config = getattr(transformers, f"{kind}Config")(
        **{**sizes[family], **tokens, "max_position_embeddings": 40}
    )
    name = "GPT2LMHeadModel" if kind == "GPT2" else family
    getattr(transformers, name)(config).save_pretrained(tmp_path)
    options = {"path": str(tmp_path), "max_new_tokens": asked}
    model = load_model(ModelConfig("transformers", options, "translation", (), "x", 1))
    whole = kind == "Bart"
    assert model.describe()["max_tokens"] == (40 if whole else 40 - min(asked, 20))
    for text in TEXTS:
        produced = model.infer(text).token_logprobs
        assert produced is not None
        assert min(asked, 20) <= len(produced) <= min(asked, 39)
