"""Produced sequences with their token log-probabilities, for Seq2Seq confidence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiers.models.base import Output


def source_options(path: str) -> dict[str, Any]:
    """Where Transformers may look for a checkpoint, whose code is never run."""
    return {"trust_remote_code": False, "local_files_only": Path(path).is_dir()}


class Generator:
    """Greedy decoding by a sequence-to-sequence or causal checkpoint; one prompt at a time."""

    def __init__(self, path: str, max_tokens: int, max_new_tokens: int, threads: int) -> None:
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

        source = source_options(path)
        torch.set_num_threads(threads)
        self._whole = AutoConfig.from_pretrained(path, **source).is_encoder_decoder
        made = AutoModelForSeq2SeqLM if self._whole else AutoModelForCausalLM
        self._model = made.from_pretrained(path, dtype=torch.float32, use_safetensors=True, **source).eval()
        self._tokenizer = AutoTokenizer.from_pretrained(path, **source)
        self._max_tokens, self._max_new_tokens = max_tokens, max_new_tokens

    def __call__(self, text: str) -> Output:
        """Answer ``text``; log-probabilities are those of the model itself, the end token's included."""
        import torch

        inputs = self._tokenizer(text, truncation=True, max_length=self._max_tokens, return_tensors="pt")
        inputs.pop("token_type_ids", None)
        with torch.inference_mode():
            made = self._model.generate(
                **inputs,
                max_new_tokens=self._max_new_tokens,
                do_sample=False,
                num_beams=1,
                return_dict_in_generate=True,
                output_logits=True,
            )
        produced = made.sequences[0][-len(made.logits) :]
        logprobs = [
            float(torch.log_softmax(step[0].double(), dim=-1)[token])
            for step, token in zip(made.logits, produced, strict=True)
        ]
        ends = self._model.generation_config.eos_token_id
        return Output(
            self._tokenizer.decode(produced, skip_special_tokens=True).strip(),
            token_logprobs=logprobs,
            prompt_tokens=int(inputs["input_ids"].shape[1]),
            completion_tokens=len(produced),
            cut_off=int(produced[-1]) not in (ends if isinstance(ends, list) else [ends]),
        )
