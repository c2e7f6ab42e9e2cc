"""What a reply must be to count as an answer; whatever else it is, the request ends in one named error."""

from __future__ import annotations

import json
from typing import Any

import pytest

from testbed.orchestrator.replay.ended import Ended, verdict
from testbed.orchestrator.replay.going import Going
from testbed.orchestrator.serving.proxy import Heard

STEP = {"node": "cloud1", "confidence": 0.9, "threshold": 0.5, "kept": True}


def reply(content: Any = "positive", **told: Any) -> bytes:
    way = {"tier": "cloud", "path": [STEP], **told}
    return json.dumps({"choices": [{"message": {"content": content}}], "recserve": way}).encode()


def test_an_answer_is_read_with_its_tier_and_path() -> None:
    assert verdict(200, reply()) == Ended("answered", "positive", "cloud", False, [STEP])
    assert verdict(200, reply(degraded=True)).degraded


@pytest.mark.parametrize(
    "body",
    [
        *(reply(content) for content in (None, 7, 0.5, True, ["positive"], {"text": "positive"}, "\ud800")),
        *(reply(tier=tier) for tier in (None, 1, ["cloud"])),
        *(reply(path=path) for path in (5, "cloud1", {"node": "cloud1"})),
        b"", b"[]", b"null", b"{}", b'{"choices":[]}', b"[" * 100_000, b"\xff",
    ],
)  # fmt: skip
def test_what_is_no_text_of_a_named_tier_is_malformed_and_has_no_answer(body: bytes) -> None:
    assert verdict(200, body) == Ended("malformed")


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [("deadline", "deadline"), ("malformed", "malformed"), *((odd, "http_502") for odd in (
        "answered", "timeout", "", None, 5, ["deadline"], {"type": "deadline"}, "\ud800"))],
)  # fmt: skip
def test_an_error_has_a_name_that_tiers_give_and_is_never_an_answer(kind: Any, outcome: str) -> None:
    assert verdict(502, json.dumps({"error": {"type": kind}}).encode()) == Ended(outcome)


@pytest.mark.parametrize("told", [{}, {"tier": None}, {"tier": ["cloud"]}, None])
def test_a_stream_that_names_no_tier_is_malformed_too(told: Any) -> None:
    chunk = {"choices": [{"delta": {"content": "positive"}}], "recserve": told}
    heard = Heard(200, "text/event-stream", bytearray(f"data: {json.dumps(chunk)}\n\n".encode()), whole=True)
    assert heard.verdict() == Ended("malformed")
    chunk["recserve"] = {"tier": "cloud"}
    heard.body = bytearray(f"data: {json.dumps(chunk)}\n\n".encode())
    assert heard.verdict() == Ended("answered", "positive", "cloud")


def test_what_is_shown_of_a_replay_takes_thresholds_that_are_numbers() -> None:
    going = Going()
    for threshold in (0.5, "high", None, [1]):
        going.note(0.0, "cloud", [{"node": f"n{threshold}", "threshold": threshold}])
    going.note(0.0, "cloud", [{"node": ["n"], "threshold": 0.5}])
    assert (going.thresholds, going.served["cloud"]) == ({"n0.5": 0.5}, 5)
