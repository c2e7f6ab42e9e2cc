"""Several prompts as one row of tokens: a classifier reads them together, and nothing is filled up.

Each prompt has positions of its own and attends to itself alone (a mask of blocks). On a CPU half of the time
that a short prompt takes goes to calls and to products of small matrices. Prompts in one row share that;
filled up to the longest of a batch, they would lose it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

MAX_TOKENS = 256
"""Of a row with several prompts: beyond, larger products are no faster, and attention costs its square."""
ATTENTIONS = ("sdpa", "eager")
"""Transformers' ways of attention that take a mask of blocks."""

Rows = Mapping[str, Sequence[Sequence[int]]]
"""A model's inputs by name, a list for each prompt."""


@dataclass(frozen=True, slots=True)
class Family:
    """How an architecture classifies.

    Attributes:
        head: makes logits of a model and the hidden states that stand for prompts, one each.
        causal: whether a token sees only those before it, and a prompt's last one stands for it; else its
            first one.
        first_position: the number of a prompt's first token in a model.
    """

    head: Callable[[Any, Any], Any]
    causal: bool = False
    first_position: Callable[[Any], int] = lambda _model: 0


FAMILIES = {
    "BertForSequenceClassification": Family(
        lambda model, states: model.classifier(model.bert.pooler(states[:, None]))
    ),
    "RobertaForSequenceClassification": Family(
        lambda model, states: model.classifier(states[:, None]),
        first_position=lambda model: int(model.roberta.embeddings.padding_idx) + 1,
    ),
    "LlamaForSequenceClassification": Family(lambda model, states: model.score(states), causal=True),
}
"""By architecture, those that the tests compare with the model's own answers to single prompts."""


def can_pack(model: Any) -> bool:
    """Whether several prompts may be one row of a model's."""
    config = model.config
    known = type(model).__name__ in FAMILIES and config._attn_implementation in ATTENTIONS
    return known and not getattr(config, "is_decoder", False)  # such a BERT is causal


def packs(lengths: Sequence[int]) -> Iterator[slice]:
    """Split prompts of such lengths, in order, into rows of at most ``MAX_TOKENS``, or of one prompt."""
    start = tokens = 0
    for at, length in enumerate(lengths):
        if at > start and tokens + length > MAX_TOKENS:
            yield slice(start, at)
            start, tokens = at, 0
        tokens += length
    yield slice(start, len(lengths))


def packed_logits(model: Any, rows: Rows, device: str) -> list[list[float]]:
    """The logits of several prompts, read as few rows; of one that has a row of its own, to the bit as alone.

    Args:
        rows: as the model's tokenizer makes them.
    """
    import torch

    logits: list[list[float]] = []
    for pack in packs([len(ids) for ids in rows["input_ids"]]):
        packed = {name: lists[pack] for name, lists in rows.items()}
        if len(packed["input_ids"]) > 1:
            logits += _of_row(model, packed, device)
        else:
            inputs = {name: torch.tensor(row, device=device) for name, row in packed.items()}
            logits += model(**inputs).logits.tolist()
    return logits


def _of_row(model: Any, rows: Rows, device: str) -> list[list[float]]:
    import torch

    family, ids = FAMILIES[type(model).__name__], rows["input_ids"]
    lengths = torch.tensor([len(row) for row in ids], device=device)
    prompt = torch.repeat_interleave(torch.arange(len(ids), device=device), lengths)
    starts = lengths.cumsum(0) - lengths
    positions = torch.arange(len(prompt), device=device) - starts[prompt]
    seen = prompt[:, None] == prompt
    inputs: dict[str, Any] = {
        name: torch.tensor([list(chain.from_iterable(rows[name]))], device=device)
        for name in ("input_ids", "token_type_ids")
        if name in rows
    }
    places = starts
    if family.causal:
        seen &= positions[:, None] >= positions
        inputs["use_cache"] = False
        places = starts + torch.tensor([_last(model, row) for row in ids], device=device)
    mask = torch.zeros(seen.shape, device=device).masked_fill_(~seen, torch.finfo(torch.float32).min)
    inputs["position_ids"] = positions[None] + family.first_position(model)
    states = model.base_model(**inputs, attention_mask=mask[None, None]).last_hidden_state[0]
    logits: list[list[float]] = family.head(model, states[places]).tolist()
    return logits


def _last(model: Any, ids: Sequence[int]) -> int:
    """Where the model itself reads a prompt's logits: at its last token that is no padding."""
    return max((at for at, token in enumerate(ids) if token != model.config.pad_token_id), default=0)
