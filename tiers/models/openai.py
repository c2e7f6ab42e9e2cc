"""An engine that speaks the OpenAI API (vLLM, llama.cpp, …) as a tier's model.

The user's text goes in the task's template as the last message, unchanged where that is the text alone.
Confidence comes from the answer's token log-probabilities. In classification, an answer counts as a label if
it is one as a checkpoint's is (:mod:`tiers.models.checkpoint.labels`), or begins with one as a whole word.
Any other stays as it is, and speaks against the run's verdict on quality.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import urllib3
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool

from tiers import plain
from tiers.api.asked import Asked
from tiers.errors import ConfigError, RequestError
from tiers.models.base import LEAST_LOGPROB, Model, ModelConfig, Output
from tiers.models.checkpoint.labels import as_label
from tiers.parameters import Count, File, Internal, Like, Range
from tiers.protocol import encode_json
from tiers.tasks import Template, fill

MAX_ANSWER_BYTES = 4 << 20
CHUNK_BYTES = 1 << 16
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
    stays out of scenarios. ``ca`` is a file of certificates, one of which an https engine's must lead to;
    without it, the system's.

    ``via`` is where connections to the engine go instead, ``host:port``: a relay, which passes on bytes. TLS
    ends at the engine all the same, and it is asked, and must show a certificate, for the url's host.
    """

    tokens = "engine"
    needs_backend = True
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
        ca: Annotated[str, File("/engine/ca.pem")] | None = None,
        via: Annotated[str, Internal()] | None = None,
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
        self._timeout_s = timeout_s
        self._pool, self._path = _pool(self._url, via, ca, timeout_s)
        if via is not None:
            self._headers["Host"] = urllib3.util.parse_url(self._url).netloc or ""

    def infer(self, text: str) -> Output:
        """Ask the engine.

        Raises:
            EngineError: it cannot be reached, refuses, is too slow or answers something else.
            RequestError: ``malformed``; it answers nothing.
        """
        return self.answer(Asked.plainly(text))

    def answer(self, asked: Asked) -> Output:
        """Ask the engine for the whole conversation, with what its options say; raises as :meth:`infer`."""
        request = {**self._request, **self._options(asked), "messages": self._messages(asked)}
        asked_at = time.monotonic()
        raw = self._ask(request)
        backend_ms = (time.monotonic() - asked_at) * 1000
        return self._output(raw, asked.options.top_logprobs, backend_ms)

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
            give_up_s = time.monotonic() + self._timeout_s
            answer = self._post(body)
            raw = self._read(answer, give_up_s)
            answer.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise EngineError(f"engine {self._url}: {type(error).__name__}: {error}") from error
        if answer.status != 200:
            raise EngineError(
                f"engine {self._url} answered {answer.status}: {raw[:200].decode(errors='replace')}"
            )
        return raw

    def _read(self, answer: urllib3.BaseHTTPResponse, give_up_s: float) -> bytes:
        """The body of an answer. One that is not wanted is not read on: its connection is closed.

        Raises:
            EngineError: it is compressed, too long, or comes too slowly.
        """
        raw = bytearray()
        coding = answer.headers.get("Content-Encoding", "identity").lower()
        problem = None if coding == "identity" else "compressed its answer, which nobody asked it to"
        while not problem and (piece := answer.read1(CHUNK_BYTES, decode_content=False)):
            raw += piece
            if len(raw) > MAX_ANSWER_BYTES:
                problem = f"sent an answer of more than {MAX_ANSWER_BYTES} bytes"
            elif time.monotonic() > give_up_s:
                problem = f"had not ended its answer after {self._timeout_s:g} s"
        if problem:
            answer.close()
            raise EngineError(f"engine {self._url} {problem}")
        return bytes(raw)

    def _post(self, body: bytes) -> urllib3.BaseHTTPResponse:
        """The beginning of the engine's answer.

        It is asked again, once, if it closed the connection before a byte of answer: an engine that ends idle
        connections may do so just as a request is on its way.
        """
        asking: dict[str, Any] = {
            "body": body,
            "headers": self._headers,
            "preload_content": False,
            "redirect": False,
        }
        try:
            return self._pool.request("POST", self._path, **asking)
        except urllib3.exceptions.ProtocolError:
            return self._pool.request("POST", self._path, **asking)

    def infer_many(self, texts: Sequence[str]) -> list[Output]:
        """Ask for all at the same time: it is the engine that makes batches.

        Raises:
            EngineError: as :meth:`infer`, of the first text that got no answer.
        """
        with ThreadPoolExecutor(max_workers=min(len(texts), MAX_TOGETHER)) as threads:
            return list(threads.map(self.infer, texts))

    def _output(self, raw: bytes, top_logprobs: int | None, backend_ms: float) -> Output:
        try:
            answer = json.loads(raw)
            choice = answer["choices"][0]
            text = choice["message"]["content"]
            if text is not None and not isinstance(text, str):
                raise TypeError("the content of its message is no text")
            # llama.cpp tells of no token that is part of a character which max_tokens cut off.
            none = not (text or "").strip("\ufffd") and not choice.get("logprobs")
            found = {"content": []} if none else choice["logprobs"]
            logprobs = _logprobs(found)
            entries = None if top_logprobs is None else _entries(found, top_logprobs)
            cut_off = choice.get("finish_reason") == "length"
        except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
            raise EngineError(
                f"engine {self._url} sent no answer with token log-probabilities "
                f"({type(error).__name__}: {error}); does it support logprobs?"
            ) from error
        if text is None:
            raise RequestError(500, "malformed", f"engine {self._url} answered nothing: its content is null")
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
            backend_ms=backend_ms,
        )

    def _answer(self, text: str) -> str:
        return as_label(text, self.config.labels) if self.config.task == "classification" else text

    def describe(self) -> dict[str, Any]:
        known = {"url": self._url, "model": self._request["model"], "template": self._template}
        return {**super().describe(), **known}


def _entries(found: Mapping[str, Any], most: int) -> list[dict[str, Any]]:
    """An answer's tokens as the OpenAI API has them today, whichever way the engine writes them.

    Args:
        most: how many others beside each are wanted; engines that are asked for none send some.
    """
    if found.get("content") is not None:
        tokens = found["content"]
    else:
        told = found["tokens"]
        tops = found.get("top_logprobs") or [None] * len(told)
        tokens = [
            {
                "token": token,
                "logprob": logprob,
                "top_logprobs": [{"token": other, "logprob": at} for other, at in (top or {}).items()],
            }
            for token, logprob, top in zip(told, found["token_logprobs"], tops, strict=True)
            if logprob is not None
        ]
    return [
        {**_known(token), "top_logprobs": list(map(_known, (token.get("top_logprobs") or [])[:most]))}
        for token in tokens
    ]


def _known(token: Mapping[str, Any]) -> dict[str, Any]:
    logprob = max(float(token["logprob"]), LEAST_LOGPROB)  # JSON has no -Infinity, though engines write it
    return {"token": token.get("token", ""), "logprob": logprob, "bytes": token.get("bytes")}


def _pool(url: str, via: str | None, ca: str | None, timeout_s: float) -> tuple[HTTPConnectionPool, str]:
    """The connections to an engine, and the path at which it is asked."""
    place = urllib3.util.parse_url(url)
    secure = place.scheme == "https"
    host, port = str(place.host), place.port or (443 if secure else 80)
    there, at = (host, port) if via is None else (via.rpartition(":")[0], int(via.rpartition(":")[2]))
    kept: dict[str, Any] = {
        "maxsize": MAX_TOGETHER,
        "retries": False,
        "timeout": urllib3.Timeout(connect=10, read=timeout_s),
    }
    if secure:
        pool: HTTPConnectionPool = HTTPSConnectionPool(
            there, at, ca_certs=ca, cert_reqs="CERT_REQUIRED", server_hostname=host.strip("[]"), **kept
        )
    else:
        pool = HTTPConnectionPool(there, at, **kept)
    return pool, place.request_uri


def _logprobs(found: Any) -> list[float]:
    """The log-probabilities of an answer's tokens, as OpenAI writes them today or wrote them before.

    In ``token_logprobs`` a first token without one has null.
    """
    if isinstance(found, dict) and found.get("content") is not None:
        return [float(token["logprob"]) for token in found["content"]]
    return [float(logprob) for logprob in found["token_logprobs"] if logprob is not None]


def _count(tokens: object) -> int | None:
    try:
        return plain.maybe(plain.count, tokens, "tokens")
    except ValueError:
        return None


def _authorization(variable: str | None) -> dict[str, str]:
    if variable is None:
        return {}
    key = os.environ.get(variable)
    if not key:
        raise ConfigError(f"api_key_env: the environment has no {variable}")
    return {"Authorization": f"Bearer {key}"}
