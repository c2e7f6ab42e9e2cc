"""Passes a request of the OpenAI API on to a device, and the answer back as it comes, byte for byte.

A device is asked over its own loopback, as its user would: no WAN link carries what passes here.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from testbed.orchestrator.replay.ended import MALFORMED, Ended, answered, failed, verdict
from testbed.orchestrator.replay.replay import connector_in
from testbed.orchestrator.serving.guard import refusal
from testbed.orchestrator.serving.ways import Flight, Ways
from tiers.connections import Limits
from tiers.errors import RequestError
from tiers.ids import ShortIds
from tiers.protocol import (
    COMPLETIONS_PATH,
    INSTRUMENTATION_KEY,
    REQUEST_ID_HEADER,
    REQUEST_ID_MAX_LENGTH,
    TIER_PORT,
)

MAX_BODY_BYTES = 2 << 20
"""As much as a node reads (:mod:`tiers.wsgi`); it refuses less than that by itself."""
LIMITS = Limits()
"""What a node's server allows its clients, and so this one."""
MAX_HEARD_BYTES = 4 << 20
"""Of an answer, to know what it says; longer ones pass all the same."""
CONNECT_S = 10.0
_EVENTS = "text/event-stream"
_OWN_TO_A_HOP = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te",
     "trailer", "transfer-encoding", "upgrade"}
)  # fmt: skip
"""Header fields that are about one connection (RFC 9110, 7.6.1), by their names in small letters."""


def session_in(netns_path: str) -> aiohttp.ClientSession:
    """Connections to the node in the network namespace at ``netns_path``."""
    return node_session(f"http://127.0.0.1:{TIER_PORT}", connector_in(netns_path))


def node_session(url: str, connector: aiohttp.BaseConnector | None = None) -> aiohttp.ClientSession:
    """Connections to the node at ``url``, which add and change nothing."""
    return aiohttp.ClientSession(
        url,
        connector=connector,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
        trust_env=False,
    )


@dataclass
class Proxy:
    """Passes requests on to the devices in ``turns``."""

    sessions: Mapping[str, aiohttp.ClientSession]
    turns: Iterator[str]
    ways: Ways
    ids: ShortIds = field(default_factory=ShortIds)
    limits: Limits = field(default_factory=lambda: LIMITS)
    held_bytes: int = 0
    """Of bodies in all."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Ask the device whose turn it is; a chat request's way is noted."""
        body = await self._body(request)
        try:
            return await self._handle(request, body)
        finally:
            self.held_bytes -= len(body)

    async def _body(self, request: web.Request) -> bytes:
        """The request's body, which counts as held from then on.

        Raises:
            web.HTTPException: it is too long, does not come, or there is no room for it.
        """
        body = bytearray()
        try:
            async with asyncio.timeout(self.limits.whole_s):
                while True:
                    async with asyncio.timeout(self.limits.pause_s):
                        piece = await request.content.readany()
                    if not piece:
                        return bytes(body)
                    body += piece
                    self.held_bytes += len(piece)
                    if len(body) > MAX_BODY_BYTES:
                        raise web.HTTPRequestEntityTooLarge(MAX_BODY_BYTES, len(body))
                    if self.held_bytes > self.limits.held_bytes:
                        raise web.HTTPServiceUnavailable
        except BaseException as error:
            self.held_bytes -= len(body)
            if isinstance(error, TimeoutError):
                raise web.HTTPRequestTimeout from error
            raise

    async def _handle(self, request: web.Request, body: bytes) -> web.StreamResponse:
        device = next(self.turns)
        headers = _passed_on(request.headers)
        headers.popall("Host", None)
        headers.popall("Content-Length", None)
        if request.method != "POST" or request.path.rstrip("/") != COMPLETIONS_PATH:
            return await self._exchange(request, device, headers, body, Heard())
        # As long as the one that the node would give it, so that no byte more crosses a link.
        user_id = headers.setdefault(REQUEST_ID_HEADER, secrets.token_hex(REQUEST_ID_MAX_LENGTH // 2))
        heard = Heard()
        flight = self.ways.begin(self._short(user_id), device, prompt_of(body))
        try:
            return await self._exchange(request, device, headers, body, heard)
        finally:
            self._end(flight, heard)

    def _short(self, user_id: str) -> str:
        """The id by which nodes know the request."""
        try:
            return self.ids.of(user_id.encode("utf-8", "surrogateescape").decode("latin-1"))
        except RequestError:  # the node refuses it too
            return user_id[:REQUEST_ID_MAX_LENGTH]

    async def _exchange(
        self, request: web.Request, device: str, headers: CIMultiDict[str], body: bytes, heard: Heard
    ) -> web.StreamResponse:
        asking = self.sessions[device].request(
            request.method, request.rel_url, headers=headers, data=body or None, allow_redirects=False
        )
        try:
            async with asking as answer:
                return await _pass_back(request, answer, heard)
        except (aiohttp.ClientError, OSError, TimeoutError, UnicodeError) as error:
            heard.broken = True
            return refusal(502, f"{device} does not answer ({type(error).__name__}: {error})")

    def _end(self, flight: Flight, heard: Heard) -> None:
        self.ways.end(flight, heard.verdict())


@dataclass
class Heard:
    """What passed of an answer."""

    status: int | None = None
    kind: str = ""
    body: bytearray = field(default_factory=bytearray)
    whole: bool = False
    broken: bool = False

    def hear(self, chunk: bytes) -> None:
        if len(self.body) < MAX_HEARD_BYTES:
            self.body += chunk

    def verdict(self) -> Ended:
        """Outcome, answer, the tier that gave it, and whether it stands in for another's."""
        if self.status is None or not self.whole:
            return Ended("connection")
        if self.status == 200 and self.kind == _EVENTS:
            return _streamed(bytes(self.body))
        return verdict(self.status, bytes(self.body))


async def _pass_back(
    request: web.Request, answer: aiohttp.ClientResponse, heard: Heard
) -> web.StreamResponse:
    """Pass an answer on while it comes; where it breaks off, so does ours, that nobody takes it for whole."""
    heard.status, heard.kind = answer.status, answer.content_type
    response = web.StreamResponse(
        status=answer.status, reason=answer.reason, headers=_passed_on(answer.headers)
    )
    await response.prepare(request)
    try:
        async for chunk in answer.content.iter_any():
            heard.hear(chunk)
            await response.write(chunk)
    except (aiohttp.ClientError, OSError, TimeoutError):
        heard.broken = True
        if request.transport is not None:
            request.transport.abort()
        return response
    heard.whole = True
    await response.write_eof()
    return response


def _passed_on(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """Header fields without those that are about one connection."""
    named = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    return CIMultiDict(
        (name, value)
        for name, value in headers.items()
        if name.lower() not in _OWN_TO_A_HOP and name.lower() not in named
    )


def prompt_of(body: bytes) -> str:
    """The user's text in a request, as accounts of bytes count it; empty if there is none."""
    try:
        messages = json.loads(body)["messages"]
        texts = [_text(each.get("content")) for each in messages if each.get("role", "user") == "user"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""
    return "".join(texts).encode(errors="replace").decode()


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    return "".join(part["text"] for part in parts if isinstance(part.get("text"), str))


def _streamed(events: bytes) -> Ended:
    """The same of an answer that came as server-sent events."""
    texts: list[str] = []
    told: dict[str, Any] = {}
    try:
        for line in events.decode().splitlines():
            value = line.removeprefix("data:").strip()
            if not line.startswith("data:") or value == "[DONE]":
                continue
            chunk = json.loads(value)
            if "error" in chunk:
                return failed(200, chunk["error"]["type"])
            told = chunk.get(INSTRUMENTATION_KEY) or told
            texts += [choice["delta"].get("content") or "" for choice in chunk.get("choices", ())]
        return answered("".join(texts), told)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Ended(MALFORMED)
