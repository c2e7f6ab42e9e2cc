"""The transformers model against ``transformers.pipeline``, and generation against its own arithmetic."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from testbed.host.embedded.base import load_base
from testbed.host.embedded.ladder import RUNGS
from tests import ROOT
from tests.tiers.checkpoints import (
    BERT_SETTINGS,
    SIZES,
    TEXTS,
    bert_tokenizer,
    save_classifier,
    save_tokenizer,
    small_classifier,
    word_tokenizer,
)
from tests.tiers.nodes import node_config
from tiers.confidence import make_confidence
from tiers.confidence.seq2seq import inverse_perplexity
from tiers.errors import ConfigError
from tiers.models.base import Model, ModelConfig, load_model

pytestmark = [pytest.mark.models, pytest.mark.timeout(600)]

LEFT_OUT = ("sympy", "torch._dynamo.convert_frame", "torch.distributed.tensor")
RUNNER = """
import json, sys
from tiers.confidence import make_confidence
from tiers.models.base import ModelConfig, load_model
from tiers.server import anonymous_bytes
path, lean, texts, heavy = json.load(sys.stdin)
if not lean:
    import transformers  # what is imported already is not stood in for
model = load_model(ModelConfig("transformers", {"path": path}, "classification", (), "x", 1))
confidence = make_confidence(model.confidence)
outputs = [model.infer(text) for text in texts]
print(json.dumps({
    "answers": [[output.answer, confidence.of(output)] for output in outputs],
    "lean": model.lean,
    "heavy": [name for name in heavy if name in sys.modules],
    "anon_bytes": anonymous_bytes(),
}))
"""


def ours(path: Path, lean: bool = True) -> dict[str, Any]:
    """Our answers, from a process of their own: a lean import must be a process's first."""
    done = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps([str(path), lean, TEXTS, LEFT_OUT]),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def pipelines(path: Path, max_length: int = 512) -> list[tuple[str, float]]:
    from transformers import pipeline

    classify = pipeline("text-classification", model=str(path), device="cpu")
    answers = [classify(text, truncation=True, max_length=max_length)[0] for text in TEXTS]
    return [(answer["label"], answer["score"]) for answer in answers]


def load(path: Path, **options: Any) -> Model:
    """The checkpoint in this process, so with the plain import."""
    given = {"path": str(path), **options}
    return load_model(ModelConfig("transformers", given, "classification", (), "x", 1))


def assert_same(found: dict[str, Any], expected: list[tuple[str, float]]) -> None:
    assert [answer for answer, _ in found["answers"]] == [label for label, _ in expected]
    scores = [score for _, score in expected]
    assert [score for _, score in found["answers"]] == pytest.approx(scores, abs=1e-6)


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
    output = load_model(ModelConfig("transformers", options, "translation", (), "x", 1)).infer(TEXTS[0])
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

    from tiers.models.base import ModelConfig, load_model

    options = {"path": str(small_classifier(tmp_path, None)), "max_tokens": 50}
    labels = ("negative", "positive")
    model = load_model(ModelConfig("transformers", options, "classification", labels, "x", 1))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        output = model.infer(text)
        assert output.prompt_tokens == len(tokenizer(text, truncation=True, max_length=50)["input_ids"])
        assert output.completion_tokens == len(tokenizer("positive", add_special_tokens=False)["input_ids"])
    assert model.describe()["tokens"] == "tokenizer"


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
