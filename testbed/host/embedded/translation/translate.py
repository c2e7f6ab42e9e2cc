"""Translates many sentences by one checkpoint, greedily, with the confidence of each translation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

BATCH = 64


class Translation(NamedTuple):
    """What a model made of a sentence, and the mean log-probability of its tokens, end token included."""

    text: str
    mean_logprob: float


def translate(
    checkpoint: Path, sentences: Sequence[str], progress: Callable[[int, int], None] = lambda done, of: None
) -> list[Translation]:
    """The translations of ``sentences`` by a checkpoint directory, as a tier makes them, in their order.

    Sentences of like length share a batch. Padding changes a log-probability in its last bits only.
    """
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    model = AutoModelForSeq2SeqLM.from_pretrained(
        checkpoint, dtype=torch.float32, use_safetensors=True
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    order = sorted(range(len(sentences)), key=lambda at: len(sentences[at]))
    made: dict[int, Translation] = {}
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        inputs = tokenizer([sentences[at] for at in chosen], padding=True, return_tensors="pt")
        longest = 2 * inputs["input_ids"].shape[1] + 20
        with torch.inference_mode():
            produced = model.generate(
                **inputs, max_new_tokens=longest, return_dict_in_generate=True, output_logits=True
            )
        tokens = produced.sequences[:, 1:]
        logits = torch.stack(produced.logits, dim=1)
        logprobs = torch.log_softmax(logits, dim=-1).gather(-1, tokens[..., None])[..., 0]
        counted = tokens != tokenizer.pad_token_id  # what follows the end token is padding
        means = (logprobs * counted).sum(dim=1) / counted.sum(dim=1).clamp(min=1)
        texts = tokenizer.batch_decode(tokens, skip_special_tokens=True)
        for at, text, mean in zip(chosen, texts, means.tolist(), strict=True):
            made[at] = Translation(text.strip(), mean)
        progress(start + len(chosen), len(order))
    return [made[at] for at in range(len(sentences))]
