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
from tests.tiers.nodes import node_config
from tiers.confidence.seq2seq import inverse_perplexity

pytestmark = [pytest.mark.models, pytest.mark.timeout(600)]

TEXTS = [
    "a fine film , really",
    "It is not good.",
    "naïve café – „großartig“, 電影 🎬 \t\n end",
    "UPPER lower MiXeD don't can't 3.14",
    " leading and trailing ",
    "ok",
    "word by word it goes on and on " * 150,
]
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


def pipelines(path: Path) -> list[tuple[str, float]]:
    from transformers import pipeline

    classify = pipeline("text-classification", model=str(path), device="cpu")
    answers = [classify(text, truncation=True, max_length=512)[0] for text in TEXTS]
    return [(answer["label"], answer["score"]) for answer in answers]


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


def word_tokenizer(folder: Path) -> int:
    """Save a tokenizer of words and characters; the size of its vocabulary."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordPiece(unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["<pad>", "<unk>", "</s>"]
    inner.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=300, special_tokens=special))
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", unk_token="<unk>", eos_token="</s>", model_max_length=512
    )
    wrapped.save_pretrained(folder)
    return int(inner.get_vocab_size())


SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 600,
    "pad_token_id": 0,
    "num_labels": 3,
}
DISTILBERT = {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4, "max_position_embeddings": 600}


@pytest.mark.parametrize(
    ("family", "sizes"),
    [("Bert", SIZES), ("Roberta", SIZES), ("Llama", SIZES), ("DistilBert", {**DISTILBERT, "num_labels": 3})],
)
def test_every_architecture_of_the_lean_import_answers_as_the_pipeline(
    family: str, sizes: dict[str, int], tmp_path: Path
) -> None:
    import torch
    import transformers

    torch.manual_seed(1)
    config = getattr(transformers, f"{family}Config")(vocab_size=word_tokenizer(tmp_path), **sizes)
    getattr(transformers, f"{family}ForSequenceClassification")(config).save_pretrained(tmp_path)
    found = ours(tmp_path)
    assert found["lean"]
    assert_same(found, pipelines(tmp_path))


@pytest.mark.parametrize("whole", [True, False], ids=["encoder-decoder", "causal"])
def test_produced_sequences_carry_the_models_own_token_probabilities(whole: bool, tmp_path: Path) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

    from tiers.models.base import ModelConfig, load_model

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
    from tiers.errors import ConfigError
    from tiers.models.base import ModelConfig, load_model

    def load(path: Path) -> None:
        load_model(ModelConfig("transformers", {"path": str(path)}, "classification", (), "x", 1))

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


def small_classifier(folder: Path, id2label: dict[int, str] | None) -> Path:
    """A classifier whose second class wins whatever the text; unnamed classes are called LABEL_0, LABEL_1."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    sizes = {**SIZES, "num_labels": 2}
    names = {} if id2label is None else {"id2label": id2label}
    model = BertForSequenceClassification(BertConfig(vocab_size=word_tokenizer(folder), **sizes, **names))
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([0.0, 3.0]))
    model.save_pretrained(folder)
    return folder


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
    from tiers.models.base import ModelConfig, load_model

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
