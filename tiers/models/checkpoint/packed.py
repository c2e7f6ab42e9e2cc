"""Several prompts as one row of tokens: a classifier reads them together, and nothing is filled up.

Each prompt has positions of its own and attends to itself alone (a mask of blocks). On a CPU half of the time
that a short prompt takes goes to calls and to products of small matrices. Prompts in one row share that;
filled up to the longest of a batch, they would lose it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

MAX_TOKENS = 256
"""Of a row with several prompts: beyond, larger products are no faster, and attention costs its square."""

Rows = Mapping[str, Sequence[Sequence[int]]]
"""A model's inputs by name, a list for each prompt."""


def _of_first(model: Any, hidden: Any) -> Any:
    return model.classifier(model.bert.pooler(hidden[:, None]))


def _of_roberta(model: Any, hidden: Any) -> Any:
    return model.classifier(hidden[:, None])


def _of_last(model: Any, hidden: Any) -> Any:
    return model.score(hidden)


_HEADS: dict[str, Callable[[Any, Any], Any]] = {
    "BertForSequenceClassification": _of_first,
    "RobertaForSequenceClassification": _of_roberta,
    "LlamaForSequenceClassification": _of_last,
}
"""What makes logits of the hidden state that stands for a prompt, by architecture."""


def can_pack(model: Any) -> bool:
    """Whether it is of an architecture that the tests compare with its own answers to single prompts."""
    return type(model).__name__ in _HEADS and model.config._attn_implementation in ("sdpa", "eager")


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
    """The logits of several prompts, read as few rows.

    Args:
        rows: ``input_ids``, and ``token_type_ids`` if the model has them, as its tokenizer makes them.
    """
    logits: list[list[float]] = []
    for pack in packs([len(ids) for ids in rows["input_ids"]]):
        logits += _logits(model, {name: lists[pack] for name, lists in rows.items()}, device)
    return logits


def _logits(model: Any, rows: Rows, device: str) -> list[list[float]]:
    import torch

    ids = rows["input_ids"]
    lengths = torch.tensor([len(row) for row in ids], device=device)
    prompt = torch.repeat_interleave(torch.arange(len(ids), device=device), lengths)
    starts = lengths.cumsum(0) - lengths
    positions = torch.arange(len(prompt), device=device) - starts[prompt]
    seen = prompt[:, None] == prompt
    last = type(model).__name__ == "LlamaForSequenceClassification"
    inputs: dict[str, Any] = {
        name: torch.tensor([list(chain.from_iterable(rows[name]))], device=device)
        for name in ("input_ids", "token_type_ids")
        if name in rows
    }
    if last:
        seen &= positions[:, None] >= positions
        inputs["use_cache"] = False
    mask = torch.zeros(seen.shape, device=device).masked_fill_(~seen, torch.finfo(torch.float32).min)
    hidden = model.base_model(
        **inputs, position_ids=(positions + _first_position(model))[None], attention_mask=mask[None, None]
    ).last_hidden_state[0]
    places = starts + torch.tensor([_last(model, row) for row in ids], device=device) if last else starts
    logits: list[list[float]] = _HEADS[type(model).__name__](model, hidden[places]).tolist()
    return logits


def _first_position(model: Any) -> int:
    """RoBERTa numbers positions from behind the padding's."""
    if type(model).__name__ != "RobertaForSequenceClassification":
        return 0
    return int(model.roberta.embeddings.padding_idx) + 1


def _last(model: Any, ids: Sequence[int]) -> int:
    """Where the model itself reads a prompt's logits: at its last token that is no padding."""
    return max((at for at, token in enumerate(ids) if token != model.config.pad_token_id), default=0)
