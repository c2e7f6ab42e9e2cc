"""Produced sequences with their token log-probabilities, for Seq2Seq confidence."""

from __future__ import annotations

from tiers.models.base import Output
from tiers.models.checkpoint.source import load_weights, source_options
from tiers.models.checkpoint.tokens import PromptEncoder, positions_of


class Generator:
    """Greedy decoding by a sequence-to-sequence or causal checkpoint; one prompt at a time.

    A checkpoint with few positions gets shorter prompts and produces less: a causal one has prompt and answer
    in the same positions, of which the answer has half at most unless the prompt leaves more.

    Attributes:
        encode: a prompt's inputs; its ``max_tokens`` is where prompts are cut.
    """

    def __init__(self, path: str, max_tokens: int, max_new_tokens: int, threads: int) -> None:
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

        torch.set_num_threads(threads)
        whole = AutoConfig.from_pretrained(path, **source_options(path)).is_encoder_decoder
        self._model = load_weights(AutoModelForSeq2SeqLM if whole else AutoModelForCausalLM, path)
        positions = positions_of(self._model)
        self._max_new_tokens = max_new_tokens
        self._room: int | None = None  # positions that a prompt and its answer share
        if positions is not None and whole:
            self._max_new_tokens = max(1, min(max_new_tokens, positions - 1))  # one is the start token's
        elif positions is not None:
            self._room = positions
            positions -= min(max_new_tokens, positions // 2)
        self.encode = PromptEncoder(path, max_tokens, positions)

    def __call__(self, text: str) -> Output:
        """Answer ``text``; log-probabilities are those of the model itself, the end token's included."""
        import torch

        inputs = self.encode(text, return_tensors="pt")
        inputs.pop("token_type_ids", None)
        room = self._max_new_tokens if self._room is None else self._room - inputs["input_ids"].shape[1]
        with torch.inference_mode():
            made = self._model.generate(
                **inputs,
                max_new_tokens=min(self._max_new_tokens, room),
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
            self.encode.tokenizer.decode(produced, skip_special_tokens=True).strip(),
            token_logprobs=logprobs,
            prompt_tokens=int(inputs["input_ids"].shape[1]),
            completion_tokens=len(produced),
            cut_off=int(produced[-1]) not in (ends if isinstance(ends, list) else [ends]),
        )
