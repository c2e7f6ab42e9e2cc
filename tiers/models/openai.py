"""Another engine that speaks the OpenAI API (vLLM, llama.cpp, …) as a tier's model.

Options: ``{"kind": "openai", "url": "http://host:port/v1", "model": NAME, "system": TEXT or null,
"max_tokens": 64, "timeout_s": 60, "api_key_env": VARIABLE or null, "params": {…}}``. The user's text goes
unchanged as the last message; ``params`` is added to the request's JSON. Confidence comes from the answer's
token log-probabilities. In classification, an answer that begins with a label counts as that label.
"""

from __future__ import annotations

import json
import os
from typing import Any

import urllib3

from tiers.errors import ConfigError
from tiers.models.base import Model, ModelConfig, Output
from tiers.protocol import encode_json

MAX_ANSWER_BYTES = 4 << 20


class EngineError(Exception):
    """What the engine did, in a sentence; the request ends as ``inference``."""


class OpenAIModel(Model):
    """See the module's text."""

    confidence = "seq2seq"

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        options = config.take(
            "url", "model", "system", "max_tokens", "timeout_s", "api_key_env", "params", "temperature"
        )
        url, name = options.get("url"), options.get("model")
        if not isinstance(url, str) or not url.startswith(("http://", "https://")):
            raise ConfigError("an openai model needs the url of its engine, such as http://10.0.0.5:8001/v1")
        if not isinstance(name, str):
            raise ConfigError("an openai model needs model: the name that its engine serves it under")
        self._url = url.rstrip("/") + "/chat/completions"
        self._system = options.get("system")
        self._request = {
            "model": name,
            "max_tokens": options.get("max_tokens", 64),
            "temperature": options.get("temperature", 0),
            "logprobs": True,
            **(options.get("params") or {}),
        }
        self._headers = {"Content-Type": "application/json", **_authorization(options.get("api_key_env"))}
        timeout_s = float(options.get("timeout_s", 60))
        self._pool = urllib3.PoolManager(
            num_pools=1, maxsize=1, retries=False, timeout=urllib3.Timeout(connect=10, read=timeout_s)
        )

    def infer(self, text: str) -> Output:
        """
        Raises:
            EngineError: it cannot be reached, refuses, is too slow or answers something else.
        """
        system = [] if self._system is None else [{"role": "system", "content": self._system}]
        body = encode_json({**self._request, "messages": [*system, {"role": "user", "content": text}]})
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
        return self._output(raw)

    def _output(self, raw: bytes) -> Output:
        try:
            choice = json.loads(raw)["choices"][0]
            text = choice["message"]["content"] or ""
            logprobs = [float(token["logprob"]) for token in choice["logprobs"]["content"]]
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise EngineError(
                f"engine {self._url} sent no answer with token log-probabilities "
                f"({type(error).__name__}: {error}); does it support logprobs?"
            ) from error
        return Output(self._as_label(text.strip()), token_logprobs=logprobs)

    def _as_label(self, text: str) -> str:
        if self.config.task != "classification":
            return text
        said = text.casefold()
        return next((label for label in self.config.labels if said.startswith(label.casefold())), text)

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "url": self._url, "model": self._request["model"]}


def _authorization(variable: str | None) -> dict[str, str]:
    if variable is None:
        return {}
    key = os.environ.get(variable)
    if not key:
        raise ConfigError(f"api_key_env: the environment has no {variable}")
    return {"Authorization": f"Bearer {key}"}
