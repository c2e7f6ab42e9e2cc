"""How many bytes a request puts on each link beside its text, estimated from the protocol.

Bodies are written by the tiers' own code (:mod:`tiers.chat`), around a text that counts by its own length;
heads are as the tiers' clients and servers write them. docs/BYTES.md has what each byte on a wire is.
"""

from __future__ import annotations

import json

import numpy as np

from testbed.scenario.topology import FRAME_BYTES
from testbed.study.queues.fifo import Ints
from tiers.chat import Step, Usage, write_answer
from tiers.protocol import (
    ANY_MODEL,
    COMPLETIONS_PATH,
    DEADLINE_HEADER,
    REQUEST_ID_HEADER,
    TIER_PORT,
    encode_deadline,
    encode_json,
)

SEGMENT_HEADER_BYTES = 66
"""Ethernet, IP, and TCP with its timestamps; what an acknowledgement alone has, too."""
SEGMENT_BYTES = FRAME_BYTES - SEGMENT_HEADER_BYTES
"""Payload of a full frame."""
SYN_BYTES = 74
OPENED_UP_BYTES = SYN_BYTES + 3 * SEGMENT_HEADER_BYTES
"""Of a connection, from the lower node: SYN, its acknowledgement, FIN, and its acknowledgement."""
OPENED_DOWN_BYTES = SYN_BYTES + SEGMENT_HEADER_BYTES
"""SYN-ACK and FIN."""
DELAYED_ACK_S = 0.04
"""After which Linux acknowledges a request that has no answer yet (``TCP_DELACK_MIN``)."""
_CONFIDENCE = 0.1234567890123456
"""As long as most are when they are written."""
_ADDRESS = "10.77.0.12"
_DATE = "Fri, 27 Nov 2026 16:43:47 GMT"


def request_payload(text: str) -> int:
    """Bytes of a request with that prompt, head and body."""
    body = encode_json({"model": ANY_MODEL, "messages": [{"role": "user", "content": text}]})
    head = [
        f"POST {COMPLETIONS_PATH} HTTP/1.1",
        f"Host: {_ADDRESS}:{TIER_PORT}",
        f"Content-Length: {len(body)}",
        "Content-Type: application/json",
        f"{REQUEST_ID_HEADER}: r000001",
        f"{DEADLINE_HEADER}: {encode_deadline(1)}",
    ]
    return _head_bytes(head) + len(body)


def answer_payload(text: str, tier: str, prompt: str, *, is_top: bool) -> int:
    """Bytes of an answer as it leaves the node of ``tier`` whose model gave it, head and body."""
    words = Usage(len(prompt.split()), len(text.split()))
    step = Step(f"{tier}1", _CONFIDENCE, None if is_top else _CONFIDENCE, kept=True)
    body = write_answer("r000001", tier, text, words, "stop", tier, step)
    head = [
        "HTTP/1.1 200 OK",
        f"Content-Length: {len(body)}",
        "Content-Type: application/json",
        f"Date: {_DATE}",
    ]
    return _head_bytes(head) + len(body)


def step_payload(tier: str, nodes: int, *, infers: bool) -> int:
    """Bytes that a node of ``tier``, of so many, adds to an answer that it passes down."""
    value = _CONFIDENCE if infers else None
    step = {"node": f"{tier}{(nodes + 1) // 2}", "confidence": value, "threshold": value, "kept": False}
    return len(json.dumps(step, separators=(",", ":"))) + 1


def _head_bytes(lines: list[str]) -> int:
    return sum(len(line) + 2 for line in lines) + 2


def frames_of(payloads: Ints) -> Ints:
    """Frames that messages of so many bytes take."""
    return np.maximum(1, -(-payloads // SEGMENT_BYTES))


def wire_bytes(payloads: Ints) -> Ints:
    """Bytes of these frames, headers included."""
    return payloads + SEGMENT_HEADER_BYTES * frames_of(payloads)
