"""Small checkpoints with weights that were never trained, texts to give them, and the pipeline's answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT
from tiers.models.base import Model, ModelConfig, load_model

TEXTS = [
    "a fine film , really",
    "It is not good.",
    "naïve café – „großartig“, 電影 🎬 \t\n end",
    "UPPER lower MiXeD don't can't 3.14",
    " leading and trailing ",
    "ok",
    "it begins here, " + "word by word it goes on and on " * 150 + "and ends there",
]


SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 600,
    "pad_token_id": 0,
    "num_labels": 3,
    "initializer_range": 0.1,  # so that another token is another score
}
DISTILBERT = {
    "dim": 32,
    "hidden_dim": 64,
    "n_layers": 2,
    "n_heads": 4,
    "max_position_embeddings": 600,
    "num_labels": 3,
    "initializer_range": 0.1,
}


def word_tokenizer(folder: Path) -> int:
    """Save a tokenizer of words and characters; the size of its vocabulary.

    Not a trained one: where two pieces are as frequent, training takes either, another in each process.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    split = pre_tokenizers.BertPreTokenizer()
    words = sorted({word for text in TEXTS for word, _ in split.pre_tokenize_str(text)})
    letters = sorted(set("".join(words)))
    pieces = dict.fromkeys(
        ["<pad>", "<unk>", "</s>", *letters, *(f"##{letter}" for letter in letters), *words]
    )
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    inner = Tokenizer(models.WordPiece(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = split
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", unk_token="<unk>", eos_token="</s>", model_max_length=512
    )
    wrapped.save_pretrained(folder)
    return len(vocabulary)


def save_classifier(folder: Path, family: str, **settings: Any) -> Path:
    """Save a classifier of an architecture with a tokenizer; ``settings`` are of its configuration."""
    import torch
    import transformers

    torch.manual_seed(1)
    sizes = DISTILBERT if family == "DistilBert" else SIZES
    config = getattr(transformers, f"{family}Config")(
        **{"vocab_size": word_tokenizer(folder), **sizes, **settings}
    )
    getattr(transformers, f"{family}ForSequenceClassification")(config).save_pretrained(folder)
    return folder


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


SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<s>", "</s>"]
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZäöüéïÄÖÜÉçñß0123456789.,!?'-–„“電影🎬"
WORDS = ["upper", "UPPER", "Lower", "lower", "naive", "naïve", "cafe", "café", "word", "on", "電影", "##電影"]


def bert_tokenizer(
    lowercase: bool = True, strip_accents: bool | None = None, chinese: bool = True
) -> dict[str, Any]:
    """What the ``tokenizer.json`` of a BERT holds; its tokens tell case, accents and Chinese characters."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    tokens = [*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS), *WORDS]
    vocabulary = {token: at for at, token in enumerate(dict.fromkeys(tokens))}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(
        lowercase=lowercase, strip_accents=strip_accents, handle_chinese_chars=chinese
    )
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    held: dict[str, Any] = json.loads(made.to_str())
    return held


BERT_SETTINGS = {
    "tokenizer_class": "BertTokenizer",
    "unk_token": "[UNK]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


def save_tokenizer(folder: Path, tokenizer: dict[str, Any], settings: dict[str, Any]) -> None:
    """Write ``tokenizer.json`` and ``tokenizer_config.json``."""
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


LEFT_OUT = ("sympy", "torch._dynamo.convert_frame", "torch.distributed.tensor")


RUNNER = """
import json, sys
from tiers.confidence import make_confidence
from tiers.models.base import ModelConfig, load_model
from tiers.control import anonymous_bytes
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


_TRANSLATOR = {
    **{f"{part}_{what}": size for part in ("encoder", "decoder") for what, size in
       (("layers", 1), ("attention_heads", 2), ("ffn_dim", 16))},
    "d_model": 16, "max_position_embeddings": 64,
}  # fmt: skip


def marian(folder: Path) -> None:
    """Save a translator of the kind of opus-mt-en-de: a SentencePiece model for each language."""
    import sentencepiece
    import torch
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    vocabulary = {"</s>": 0, "<unk>": 1}
    for language in ("source", "target"):
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(TEXTS), model_prefix=str(folder / language), vocab_size=80,
            hard_vocab_limit=False, minloglevel=2,
        )  # fmt: skip
        pieces = sentencepiece.SentencePieceProcessor(str(folder / f"{language}.model"))
        for number in range(pieces.get_piece_size()):
            vocabulary.setdefault(pieces.id_to_piece(number), len(vocabulary))
    vocabulary["<pad>"] = pad = len(vocabulary)
    (folder / "all.json").write_text(json.dumps(vocabulary))
    names = (str(folder / name) for name in ("source.model", "target.model", "all.json"))
    MarianTokenizer(*names, source_lang="en", target_lang="de", model_max_length=64).save_pretrained(folder)
    torch.manual_seed(7)
    tokens = {"pad_token_id": pad, "decoder_start_token_id": pad, "eos_token_id": 0, "forced_eos_token_id": 0}
    MarianMTModel(MarianConfig(vocab_size=pad + 1, **tokens, **_TRANSLATOR)).save_pretrained(folder)


def fsmt(folder: Path) -> None:
    """Save a translator of the kind of wmt19-en-de: pairs of bytes, for which Moses makes the words."""
    import torch
    from transformers import FSMTConfig, FSMTForConditionalGeneration, FSMTTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [
        "<s>",
        "<pad>",
        "</s>",
        "<unk>",
        *letters,
        *(f"{letter}</w>" for letter in letters),
        "go",
        "od</w>",
    ]
    for file in ("source.json", "target.json"):
        (folder / file).write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "pairs.txt").write_text("g o 10\no d</w> 9\n")
    names = (str(folder / name) for name in ("source.json", "target.json", "pairs.txt"))
    FSMTTokenizer(["en", "de"], *names, model_max_length=64).save_pretrained(folder)
    torch.manual_seed(12)
    sizes = {"src_vocab_size": len(words), "tgt_vocab_size": len(words), **_TRANSLATOR}
    FSMTForConditionalGeneration(FSMTConfig(langs=["en", "de"], **sizes)).save_pretrained(folder)
