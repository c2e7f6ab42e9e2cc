"""Produced sequences with their token log-probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from tiers.api.asked import PLAIN as NO_OPTIONS
from tiers.api.asked import Asked, Options
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

    def answer(self, asked: Asked) -> Output:
        """Answer a conversation with its options; without a chat template, its last user message alone.

        Raises:
            RequestError: the chat template does not take the conversation.
        """
        inputs = self.encode.conversation(asked) if self.encode.chats else self.encode(asked.text)
        read = len(inputs["input_ids"])
        limit = self._limit_behind(read)
        if asked.options.max_tokens is not None:
            limit = min(limit, asked.options.max_tokens)
        rows = {name: [row] for name, row in inputs.items()}
        output = self._generate(rows, [read], limit, asked.options)[0]
        stopped = asked.options.end(output.answer) < len(output.answer)
        return replace(output, cut_off=output.cut_off and not stopped)

    def _limit(self, text: str) -> int:
        """How many tokens the answer may have."""
        if self._room is None:
            return self._max_new_tokens
        return self._limit_behind(len(self.encode(text)["input_ids"]))

    def _limit_behind(self, read: int) -> int:
        return self._max_new_tokens if self._room is None else min(self._max_new_tokens, self._room - read)

    def _answer(self, texts: Sequence[str], limit: int) -> list[Output]:
        side = "right" if self._whole else "left"  # a causal answer begins where its prompt ends
        rows = self.encode.batch(texts, self.encode.tokenizer.pad_token_id, side)
        return self._generate(rows, rows.pop("lengths"), limit, NO_OPTIONS)

    def _generate(
        self, rows: dict[str, Any], read: Sequence[int], limit: int, options: Options
    ) -> list[Output]:
        import torch

        rows.pop("token_type_ids", None)
        stops = {"stopping_criteria": [self._stopping(options)]} if options.stop else {}
        with torch.inference_mode():
            made = self._model.generate(
                **{name: torch.tensor(row, device=self._device) for name, row in rows.items()},
                **stops,
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
        outputs = [
            self._output(produced, of_tokens, length)
            for produced, of_tokens, length in zip(tokens.tolist(), logprobs, read, strict=True)
        ]
        if options.top_logprobs is None:
            return outputs
        (output,), (produced,) = outputs, tokens.tolist()
        # One at a time: of 256 tokens and a vocabulary of 50,000 they are 100 MB.
        steps = (torch.log_softmax(step[0].double(), dim=-1) for step in made.logits)
        return [replace(output, logprobs=self._logprobs(produced, steps, options))]

    def _stopping(self, options: Options) -> Any:
        """Ends the decoding of one answer when it has a stop text."""
        import torch

        began: list[int] = []

        def stopped(tokens: Any, _scores: Any, **_more: Any) -> Any:
            began[:] = began or [tokens.shape[1] - 1]  # called first when one token is there
            text = self._text(tokens[0, began[0] :].tolist())
            return torch.tensor([any(stop in text for stop in options.stop)], device=tokens.device)

        return stopped

    def _text(self, tokens: list[int]) -> str:
        text: str = self.encode.tokenizer.decode(tokens, skip_special_tokens=True)
        return text.strip()

    def _logprobs(self, produced: list[int], steps: Iterable[Any], options: Options) -> list[dict[str, Any]]:
        """The answer's tokens but special ones, as the OpenAI API has them; a stop text has ended it."""
        entries: list[dict[str, Any]] = []
        special = set(self.encode.tokenizer.all_special_ids)
        for token, step in zip(produced, steps, strict=True):
            if token in special:
                continue
            best = step.topk(min(options.top_logprobs or 0, len(step)))
            others = zip(best.indices.tolist(), best.values.tolist(), strict=True)
            top = [self._token(*other) for other in others]
            entries.append({**self._token(token, float(step[token])), "top_logprobs": top})
        return entries

    def _token(self, token: int, logprob: float) -> dict[str, Any]:
        text: str = self.encode.tokenizer.decode([token])
        return {"token": text, "logprob": logprob, "bytes": None if "\ufffd" in text else list(text.encode())}

    def _output(self, produced: list[int], logprobs: list[float], read: int) -> Output:
        """One answer: what follows its end fills up the batch."""
        ends = self._model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        end = next((at for at, token in enumerate(produced) if token in ends), None)
        made = len(produced) if end is None else end + 1
        return Output(
            self._text(produced[:made]),
            token_logprobs=logprobs[:made],
            prompt_tokens=read,
            completion_tokens=made,
            cut_off=end is None,
        )
