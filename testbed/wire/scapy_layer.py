"""Teaches scapy the tiers' messages: what they ask and answer become fields of its packets.

Importing this module is enough. scapy then takes what goes to and from a tier's port for HTTP, and a body of
the tiers for a :class:`TierRequest` or a :class:`TierAnswer`. It needs nothing of the accounting, so that the
one can be held against the other.
"""

from __future__ import annotations

import json
from typing import Any

from scapy.fields import StrField
from scapy.layers.http import HTTP, HTTPRequest, HTTPResponse
from scapy.layers.inet import TCP
from scapy.layers.l2 import Ether  # noqa: F401  (the layer of every capture here)
from scapy.packet import Packet, bind_bottom_up, bind_layers

from tiers.protocol import COMPLETIONS_PATH, INSTRUMENTATION_KEY, TIER_PORT


class _ReadField(StrField):
    """A field that is read from the body, and has no bytes of its own: a text, or any value of JSON."""

    def any2i(self, pkt: Any, x: Any) -> Any:
        return x

    def i2repr(self, pkt: Any, x: Any) -> str:
        return repr(x)


class _TierBody(Packet):
    """A JSON body. ``load`` is as on the wire, and decides; fields are ``None`` where it is no whole JSON."""

    def do_dissect(self, s: bytes) -> bytes:
        self.load = s
        self.raw_packet_cache = s
        return b""

    def setfieldval(self, attr: str, val: Any) -> None:
        """Read the body's fields whenever it is set: scapy sets it again when it has undone chunks."""
        super().setfieldval(attr, val)
        if attr == "load":
            try:
                body = json.loads(val)
            except (ValueError, RecursionError):
                body = None
            for name, value in self._read(body if isinstance(body, dict) else {}).items():
                super().setfieldval(name, value)

    def _read(self, body: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    def self_build(self, **_options: Any) -> bytes:
        return bytes(self.load or b"")

    def extract_padding(self, s: bytes) -> tuple[bytes, bytes]:
        return b"", s


class TierRequest(_TierBody):
    """A request between tiers: its id, and the user's text."""

    name = "Tier request"
    fields_desc = [  # noqa: RUF012
        _ReadField("request_id", None),
        _ReadField("model", None),
        _ReadField("prompt", None),
        StrField("load", b""),
    ]

    def _read(self, body: dict[str, Any]) -> dict[str, Any]:
        head = self.underlayer
        request_id = getattr(head, "X_Request_ID", None)
        messages = body.get("messages")
        asked = [
            message.get("content")
            for message in (messages if isinstance(messages, list) else ())
            if isinstance(message, dict) and message.get("role", "user") == "user"
        ]
        return {
            "request_id": request_id.decode("latin-1") if isinstance(request_id, bytes) else None,
            "model": body.get("model"),
            "prompt": _text(asked) if body else None,
        }

    def mysummary(self) -> str:
        return f"{self.request_id}: {self.prompt!r}"


class TierAnswer(_TierBody):
    """An answer between tiers: its text, and the object that says which tiers decided what."""

    name = "Tier answer"
    fields_desc = [  # noqa: RUF012
        _ReadField("request_id", None),
        _ReadField("model", None),
        _ReadField("answer", None),
        _ReadField("recserve", None),
        StrField("load", b""),
    ]

    def _read(self, body: dict[str, Any]) -> dict[str, Any]:
        choices = body.get("choices")
        messages = [
            choice.get("message")
            for choice in (choices if isinstance(choices, list) else ())
            if isinstance(choice, dict)
        ]
        texts = [message.get("content") for message in messages if isinstance(message, dict)]
        return {
            "request_id": body.get("id"),
            "model": body.get("model"),
            "answer": _text(texts) if body else None,
            "recserve": body.get(INSTRUMENTATION_KEY),
        }

    def mysummary(self) -> str:
        return f"{self.request_id}: {self.answer!r}"


def _text(contents: list[Any]) -> str:
    """Texts one after the other; a content may be a list of parts, of which some are texts."""
    found = []
    for content in contents:
        if isinstance(content, str):
            found.append(content)
        elif isinstance(content, list):
            found += [_text([part.get("text")]) for part in content if isinstance(part, dict)]
    return "".join(found)


bind_bottom_up(TCP, HTTP, dport=TIER_PORT)
bind_bottom_up(TCP, HTTP, sport=TIER_PORT)
bind_layers(HTTPRequest, TierRequest, Method=b"POST", Path=COMPLETIONS_PATH.encode())
bind_layers(HTTPResponse, TierAnswer, Content_Type=b"application/json")
