"""A size of the ladder as a MarianMTModel, and the directory that Transformers opens."""

from __future__ import annotations

import gzip
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import GenerationConfig, MarianConfig, MarianMTModel, PreTrainedTokenizerFast

from testbed.host.embedded.translation.ladder import TOKENIZER, Size

PAD, END, UNKNOWN = 0, 1, 2
"""Ids of the special tokens; a translation begins with ``PAD``, as Marian's do."""
SPECIAL_TOKENS = ["<pad>", "</s>", "<unk>"]
MAX_POSITIONS = 1024
"""Positions are sines (Vaswani et al., 2017), so that any number may be had; none is stored."""
COMPUTED = ("embed_positions", "embed_tokens", "lm_head", "final_logits_bias")
"""Parts of the state that follow from the configuration, are never trained, or are the embedding again."""


def new_model(size: Size, vocabulary: int, dropout: float = 0.0) -> MarianMTModel:
    """An untrained model; projections by Glorot's rule, those of the attention smaller by √2."""
    shape = {"encoder_layers": size.encoder_layers, "decoder_layers": size.decoder_layers}
    for side in ("encoder", "decoder"):
        shape |= {f"{side}_attention_heads": size.heads, f"{side}_ffn_dim": size.ffn}
    config = MarianConfig(
        vocab_size=vocabulary,
        decoder_vocab_size=vocabulary,
        d_model=size.d_model,
        activation_function="relu",
        dropout=dropout,
        attention_dropout=0.0,
        activation_dropout=0.0,
        scale_embedding=True,
        max_position_embeddings=MAX_POSITIONS,
        pad_token_id=PAD,
        eos_token_id=END,
        bos_token_id=None,
        decoder_start_token_id=PAD,
        forced_eos_token_id=None,
        share_encoder_decoder_embeddings=True,
        tie_word_embeddings=True,
        **shape,
    )
    model = MarianMTModel(config)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and "lm_head" not in name:
            attends = name.endswith(("q_proj", "k_proj", "v_proj"))
            torch.nn.init.xavier_uniform_(module.weight, gain=1 / math.sqrt(2) if attends else 1.0)
            torch.nn.init.zeros_(module.bias)
    embedding = model.model.shared.weight
    torch.nn.init.normal_(embedding, std=size.d_model**-0.5)
    with torch.no_grad():
        embedding[PAD].zero_()
    return model


def own_state(model: MarianMTModel) -> dict[str, torch.Tensor]:
    """The tensors of a model that are to be stored."""
    state: dict[str, torch.Tensor] = model.state_dict()
    return {name: state[name] for name in state if not any(part in name for part in COMPUTED)}


def with_state(size: Size, state: Mapping[str, torch.Tensor], vocabulary: int) -> MarianMTModel:
    """A model with the tensors of :func:`own_state`.

    Raises:
        ValueError: a tensor is missing, or one is too many.
    """
    model = new_model(size, vocabulary)
    missing, more = model.load_state_dict(dict(state), strict=False)
    missing = [name for name in missing if not any(part in name for part in COMPUTED)]
    if missing or more:
        raise ValueError(f"{size.name}: missing tensors {missing}, unknown tensors {more}")
    model.tie_weights()
    return model.eval()


def save_checkpoint(model: MarianMTModel, tokenizer: Tokenizer, into: Path) -> None:
    """Write the directory that ``MarianMTModel`` and ``AutoTokenizer`` open as it is."""
    model.generation_config = GenerationConfig(
        num_beams=1, do_sample=False, pad_token_id=PAD, eos_token_id=END, decoder_start_token_id=PAD
    )
    model.save_pretrained(into)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=SPECIAL_TOKENS[PAD],
        eos_token=SPECIAL_TOKENS[END],
        unk_token=SPECIAL_TOKENS[UNKNOWN],
        model_input_names=["input_ids", "attention_mask"],
    )
    wrapped.save_pretrained(into)


def committed_tokenizer(path: Path = TOKENIZER) -> Tokenizer:
    """The tokenizer that the committed weights belong to."""
    return Tokenizer.from_str(gzip.decompress(path.read_bytes()).decode())
