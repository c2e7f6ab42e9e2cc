"""Another engine that speaks the OpenAI API (vLLM, llama.cpp, …) as a tier's model.

The user's text goes in the task's template as the last message, unchanged where that is the text alone.
Confidence comes from the answer's token log-probabilities. In classification, an answer counts as a label if
it is one as a checkpoint's is (:mod:`tiers.models.checkpoint.labels`), or begins with one as a whole word.
Any other stays as it is, and speaks against the run's verdict on quality.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import urllib3

from tiers.api.asked import Asked
from tiers.errors import ConfigError
from tiers.models.base import Model, ModelConfig, Output
from tiers.models.checkpoint.labels import as_label
from tiers.parameters import Count, Like, Range
from tiers.protocol import encode_json
from tiers.tasks import Template, fill

MAX_ANSWER_BYTES = 4 << 20
MAX_TOGETHER = 256
"""Prompts that an engine is asked at the same time."""
Url = Annotated[
    str, Like(r"https?://[^\s/]+(/\S*)?", "the url of its engine, such as http://10.0.0.5:8001/v1")
]
Served = Annotated[str, Like(r"(?s).+", "the name that its engine serves it under")]
Variable = Annotated[str, Like(r"[A-Za-z_][A-Za-z0-9_]*", "the name of an environment variable")]


class EngineError(Exception):
    """The engine gave no answer; the message says what it did. The request ends as ``inference``."""


class OpenAIModel(Model):
    """Another engine, asked for ``model`` at ``url``.

    ``template`` stands for the task's. ``system`` is a message before the prompt, ``params`` are more fields
    of the engine's request. ``api_key_env`` names the environment variable that holds the key: the key itself
    stays out of scenarios.
    """

    tokens = "engine"
    reaches_outside = True
    able = ("max_tokens", "logprobs", "sampling", "conversation")

    def __init__(
        self,
        config: ModelConfig,
        *,
        url: Url,
        model: Served,
        system: str | None = None,
        template: Template | None = None,
        max_tokens: Count = 64,
        temperature: Annotated[float, Range(0)] = 0,
        timeout_s: Annotated[float, Range(0.001, 3600)] = 60,
        params: Mapping[str, Any] | None = None,
        api_key_env: Variable | None = None,
    ) -> None:
        super().__init__(config)
        self._url = url.rstrip("/") + "/chat/completions"
        self._system, self._template = system, config.template_of(template)
        self.confidence = config.confidence_of_answers
        self._request = {
            "model": model,
            "max_tokens": max_tokens,
            "temperature": temperature,
            "logprobs": True,
            **(params or {}),
        }
        self._headers = {"Content-Type": "application/json", **_authorization(api_key_env)}
        self._pool = urllib3.PoolManager(
            num_pools=1,
            maxsize=MAX_TOGETHER,
            retries=False,
            timeout=urllib3.Timeout(connect=10, read=timeout_s),
        )

    def infer(self, text: str) -> Output:
        """Ask the engine.

        Raises:
            EngineError: it cannot be reached, refuses, is too slow or answers something else.
        """
        return self.answer(Asked.plainly(text))

    def answer(self, asked: Asked) -> Output:
        """Ask the engine for the whole conversation, with what its options say; raises as :meth:`infer`."""
        request = {**self._request, **self._options(asked), "messages": self._messages(asked)}
        return self._output(self._ask(request), wanted=asked.options.top_logprobs is not None)

    def _messages(self, asked: Asked) -> list[dict[str, str]]:
        """All of them, the last user's in the template, behind the scenario's own system message.

        A developer's is a system's: so every engine reads it, and OpenAI's own takes the one for the other.
        """
        system = [] if self._system is None else [{"role": "system", "content": self._system}]
        told = [
            {"role": "system" if message.role == "developer" else message.role, "content": message.text}
            for message in asked.messages
        ]
        told[asked.last]["content"] = fill(self._template, asked.text)
        return system + told

    def _options(self, asked: Asked) -> dict[str, Any]:
        options = asked.options
        given: dict[str, Any] = dict(options.sampling)
        if options.max_tokens is not None:
            given["max_tokens"] = min(options.max_tokens, self._request["max_tokens"])
        if options.stop:
            given["stop"] = list(options.stop)
        if options.top_logprobs:
            given["top_logprobs"] = options.top_logprobs
        return given

    def _ask(self, request: Mapping[str, Any]) -> bytes:
        body = encode_json(request)
        try:
            answer = self._pool.request(
                "POST", self._url, body=body, headers=self._headers, preload_content=False, redirect=False
            )
            raw = answer.read(MAX_ANSWER_BYTES)
            if len(raw) == MAX_ANSWER_BYTES:
                answer.close()  # what is unread must not be taken for the next answer
            answer.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise EngineError(f"engine {self._url}: {type(error).__name__}: {error}") from error
        if answer.status != 200:
            raise EngineError(
                f"engine {self._url} answered {answer.status}: {raw[:200].decode(errors='replace')}"
            )
        return bytes(raw)

    def infer_many(self, texts: Sequence[str]) -> list[Output]:
        """Ask for all at the same time: it is the engine that makes batches.

        Raises:
            EngineError: as :meth:`infer`, of the first text that got no answer.
        """
        with ThreadPoolExecutor(max_workers=min(len(texts), MAX_TOGETHER)) as threads:
            return list(threads.map(self.infer, texts))

    def _output(self, raw: bytes, *, wanted: bool) -> Output:
        try:
            answer = json.loads(raw)
            choice = answer["choices"][0]
            text = choice["message"]["content"] or ""
            tokens = choice["logprobs"]["content"]
            logprobs = [float(token["logprob"]) for token in tokens]
            entries = [_entry(token) for token in tokens] if wanted else None
            cut_off = choice.get("finish_reason") == "length"
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise EngineError(
                f"engine {self._url} sent no answer with token log-probabilities "
                f"({type(error).__name__}: {error}); does it support logprobs?"
            ) from error
        counts = answer.get("usage")
        read, made = (
            _count(counts.get(name)) if isinstance(counts, dict) else None
            for name in ("prompt_tokens", "completion_tokens")
        )
        return Output(
            self._answer(text.strip()),
            token_logprobs=logprobs,
            prompt_tokens=read,
            completion_tokens=made,
            cut_off=cut_off,
            logprobs=entries,
        )

    def _answer(self, text: str) -> str:
        return as_label(text, self.config.labels) if self.config.task == "classification" else text

    def describe(self) -> dict[str, Any]:
        known = {"url": self._url, "model": self._request["model"], "template": self._template}
        return {**super().describe(), **known}


def _entry(token: Mapping[str, Any]) -> dict[str, Any]:
    """A token of the engine's with the fields of the OpenAI API, and no others."""
    return {**_known(token), "top_logprobs": [_known(other) for other in token.get("top_logprobs") or ()]}


def _known(token: Mapping[str, Any]) -> dict[str, Any]:
    return {"token": token.get("token", ""), "logprob": token["logprob"], "bytes": token.get("bytes")}


def _count(tokens: object) -> int | None:
    return tokens if isinstance(tokens, int) and not isinstance(tokens, bool) and tokens >= 0 else None


def _authorization(variable: str | None) -> dict[str, str]:
    if variable is None:
        return {}
    key = os.environ.get(variable)
    if not key:
        raise ConfigError(f"api_key_env: the environment has no {variable}")
    return {"Authorization": f"Bearer {key}"}
