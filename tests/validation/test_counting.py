"""The accounting check finds a known exchange whole, and finds out one that is not what was sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.validation.counting import Message, judge_account, message
from testbed.validation.figures import Figure
from tests.wire.crafted import Connection, accounted

TEXTS = ("plain", "Grüße – 東京 🎬", 'a "quote"')


def messages(texts: tuple[str, ...] = TEXTS) -> tuple[list[Message], list[Message]]:
    asked = [message("POST /v1/chat/completions HTTP/1.1", text, f"q{n}", {}) for n, text in enumerate(texts)]
    extra: dict[str, object] = {"recserve": {"tier": "edge", "path": []}}
    return asked, [message("HTTP/1.1 200 OK", text[::-1], f"q{n}", extra) for n, text in enumerate(texts)]


def judged(path: Path, sent: tuple[list[Message], list[Message]], uncounted: int = 0) -> list[Figure]:
    """What the check says of a capture of ``sent``, which is to hold :data:`TEXTS`."""
    connection = Connection()
    for question, reply in zip(*sent, strict=True):
        connection.send(True, question.wire)
        connection.send(False, reply.wire)
    found = accounted(path, connection.frames)
    counted = {"up": found.up.frame_bytes + uncounted, "down": found.down.frame_bytes}
    return list(judge_account(*messages(), found, counted))  # type: ignore[arg-type]


def test_a_known_exchange_is_found_to_the_byte(tmp_path: Path) -> None:
    assert [figure for figure in judged(tmp_path / "a.pcap", messages()) if not figure.ok] == []


@pytest.mark.parametrize("texts", [(*TEXTS[:2], 'a "quota"!'), TEXTS[:2]])
def test_another_exchange_is_found_out(tmp_path: Path, texts: tuple[str, ...]) -> None:
    wrong = [figure.quantity for figure in judged(tmp_path / "a.pcap", messages(texts)) if not figure.ok]
    assert "prompt bytes" in wrong
    assert "answer bytes" in wrong


def test_a_frame_that_the_capture_lacks_is_found_out(tmp_path: Path) -> None:
    wrong = [figure.quantity for figure in judged(tmp_path / "a.pcap", messages(), 60) if not figure.ok]
    assert wrong == ["up: all parts"]
