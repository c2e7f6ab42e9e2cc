"""Produced sequences with their token log-probabilities."""

from __future__ import annotations

from collections.abc import Sequence

from tiers.models.base import Output
from tiers.models.checkpoint.source import load_weights, source_options
from tiers.models.checkpoint.tokens import PLAIN, PromptEncoder, Prompting, positions_of


class Generator:
    """Greedy decoding by a sequence-to-sequence or causal checkpoint.

    A checkpoint with few positions gets shorter prompts and produces less: a causal one has prompt and answer
    in the same positions, of which the answer has half at most unless the prompt leaves more.

    Attributes:
        encode: a prompt's inputs; its ``max_tokens`` is where prompts are cut.
    """

    def __init__(
        self,
        path: str,
        max_tokens: int,
        max_new_tokens: int,
        threads: int,
        device: str = "cpu",
        prompting: Prompting = PLAIN,
    ) -> None:
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

        torch.set_num_threads(threads)
        whole = AutoConfig.from_pretrained(path, **source_options(path)).is_encoder_decoder
        made = AutoModelForSeq2SeqLM if whole else AutoModelForCausalLM
        self._whole, self._device = whole, device
        self._model = load_weights(made, path).to(device)
        positions = positions_of(self._model)
        self._max_new_tokens = max_new_tokens
        self._room: int | None = None  # positions that a prompt and its answer share
        if positions is not None and whole:
            self._max_new_tokens = max(1, min(max_new_tokens, positions - 1))  # one is the start token's
        elif positions is not None:
            self._room = positions
            positions -= min(max_new_tokens, positions // 2)
        self.encode = PromptEncoder(path, max_tokens, positions, prompting)
        tokenizer = self.encode.tokenizer
        if tokenizer.pad_token_id is None:  # what is masked may be any token
            tokenizer.pad_token = tokenizer.eos_token

    def require_padding(self) -> None:
        """Make sure that it can take several texts together.

        Raises:
            ConfigError: the checkpoint has no token to fill up shorter ones.
        """
        self.encode.require_padding(self.encode.tokenizer.pad_token_id)

    def __call__(self, texts: Sequence[str]) -> list[Output]:
        """Answer ``texts``; log-probabilities are those of the model itself, the end token's included.

        They are one batch, unless some may be answered with fewer tokens than others.

        Raises:
            ConfigError: there are several, and the checkpoint has no token to fill up shorter ones.
        """
        limits: dict[int, list[int]] = {}
        for at, text in enumerate(texts):
            limits.setdefault(self._limit(text), []).append(at)
        answers: dict[int, Output] = {}
        for limit, places in limits.items():
            answers.update(zip(places, self._answer([texts[at] for at in places], limit), strict=True))
        return [answers[at] for at in range(len(texts))]

    def _limit(self, text: str) -> int:
        """How many tokens the answer may have."""
        if self._room is None:
            return self._max_new_tokens
        return min(self._max_new_tokens, self._room - len(self.encode(text)["input_ids"]))

    def _answer(self, texts: Sequence[str], limit: int) -> list[Output]:
        import torch

        side = "right" if self._whole else "left"  # a causal answer begins where its prompt ends
        rows = self.encode.batch(texts, self.encode.tokenizer.pad_token_id, side)
        read = rows.pop("lengths")
        rows.pop("token_type_ids", None)
        with torch.inference_mode():
            made = self._model.generate(
                **{name: torch.tensor(row, device=self._device) for name, row in rows.items()},
                max_new_tokens=limit,
                do_sample=False,
                num_beams=1,
                forced_eos_token_id=None,  # else an answer that was cut off looks as if it had ended
                return_dict_in_generate=True,
                output_logits=True,
            )
            tokens = made.sequences[:, -len(made.logits) :]
            logprobs = torch.stack(
                [
                    torch.log_softmax(step.double(), dim=-1).gather(-1, tokens[:, at, None])[:, 0]
                    for at, step in enumerate(made.logits)
                ],
                dim=1,
            ).tolist()
        return [
            self._output(produced, of_tokens, length)
            for produced, of_tokens, length in zip(tokens.tolist(), logprobs, read, strict=True)
        ]

    def _output(self, produced: list[int], logprobs: list[float], read: int) -> Output:
        """One answer: what follows its end fills up the batch."""
        ends = self._model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        end = next((at for at, token in enumerate(produced) if token in ends), None)
        made = len(produced) if end is None else end + 1
        return Output(
            self.encode.tokenizer.decode(produced[:made], skip_special_tokens=True).strip(),
            token_logprobs=logprobs[:made],
            prompt_tokens=read,
            completion_tokens=made,
            cut_off=end is None,
        )
