"""Where texts lie in a body, and how many bytes they count, are told by two functions, and agree."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.wire.spans import answer_runs, request_runs
from testbed.wire.texts import answer_bytes, prompt_bytes

TEXTS = st.text(max_size=30) | st.just('say "\\ud83c"\n') | st.text('\\"/\x00é🎬', max_size=8)
VALUES = st.recursive(
    st.none() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "a"]), inner),
    max_leaves=6,
)
CONTENTS = TEXTS | VALUES | st.lists(st.fixed_dictionaries({"type": TEXTS, "text": TEXTS}), max_size=3)
MESSAGES = st.fixed_dictionaries(
    {}, optional={"role": st.sampled_from(["user", "system"]), "content": CONTENTS}
)


def sums(runs: list[tuple[Any, int]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for what, size in runs:
        assert size >= 0
        found[what] += size
    return found


def written(value: Any, ascii_json: bool, spaced: bool) -> bytes:
    separators = (" ,\n ", "\t: ") if spaced else (",", ":")
    dumped = json.dumps(value, ensure_ascii=ascii_json, separators=separators)
    return dumped.encode("utf-8", "surrogatepass")


@given(st.lists(MESSAGES | VALUES, max_size=3), st.booleans(), st.booleans())
def test_a_prompts_bytes_are_found_where_they_are_counted(
    messages: list[Any], ascii_json: bool, spaced: bool
) -> None:
    body = written({"model": "x", "messages": messages, "n": 1}, ascii_json, spaced)
    counted = prompt_bytes(body)
    found = sums(request_runs(body, counted))
    assert (found["text"], found.total()) == (counted, len(body))


@given(st.lists(MESSAGES | VALUES, max_size=3), VALUES, st.booleans(), st.booleans())
def test_an_answers_bytes_are_found_where_they_are_counted(
    messages: list[Any], extra: Any, ascii_json: bool, spaced: bool
) -> None:
    choices = [{"index": 0, "message": message} for message in messages]
    body = written({"id": "q", "choices": choices, "recserve": extra}, ascii_json, spaced)
    text, instrumentation = answer_bytes(body)
    found = sums(answer_runs(body, text, instrumentation))
    assert (found["text"], found["instrumentation"]) == (text, instrumentation)
    assert found.total() == len(body)


@pytest.mark.parametrize("cut", [False, True])
def test_the_runs_stand_in_the_order_of_the_body(cut: bool) -> None:
    body = b'{"messages":[{"role":"user","content":"ab\\ncd"}]}'[: -3 if cut else None]
    runs = [run for run in request_runs(body, 5, cut=cut) if run[1]]
    assert runs == [
        *[("envelope", 39), ("text", 2), ("text", 1), ("envelope", 1), ("text", 2)],
        ("envelope", 1 if cut else 4),
    ]


def test_of_a_body_that_is_read_otherwise_the_sums_stay() -> None:
    body = b'{"choices":"none"}'
    assert sums(answer_runs(body, 4, 3)) == {"text": 4, "instrumentation": 3, "envelope": len(body) - 7}
    assert sums(request_runs(b"no json", 4)) == {"text": 4, "instrumentation": 0, "envelope": 3}
