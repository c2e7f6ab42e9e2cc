"""Small checkpoints with weights that were never trained, and texts to give them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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
    "initializer_range": 0.5,  # so that another token is another score
}
DISTILBERT = {
    "dim": 32,
    "hidden_dim": 64,
    "n_layers": 2,
    "n_heads": 4,
    "max_position_embeddings": 600,
    "num_labels": 3,
    "initializer_range": 0.5,
}


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
