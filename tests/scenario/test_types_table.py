"""Types and defaults in docs/SCENARIOS.md are the code's: the chapter made of it, and what sentences say."""

from __future__ import annotations

import re

import pytest

from testbed.scenario.json_schema import scenario_schema
from testbed.scenario.sections.replay import Replay
from tests.scenario.schema_file import PAGE, Row, rows, sections
from tests.scenario.types_table import defaults, heading, page

STATED = re.compile(r"([\w.,]+(?: ?[s%](?!\w))?)(?: \(default| \([a-z]+, the default\)| by default)")
"""``30 s by default``, ``poisson (default)``, ``cold (empty, the default)``."""
FOLLOWS = {("think_distribution", "exponential"), ("cleaning", "paper")}
"""Defaults that depend on other keys, so that no schema has them."""
NO_VALUE = {"nothing", "name"}
"""``nothing by default``, ``the name by default``."""
SAID_OTHERWISE = {
    "shared": "true: one link",
    "wait": "by default it waits for nobody",
    "chat": "false: a generator",
}
NEEDLESS = {"jitter", "loss", "duplicate", "reorder"}
"""Without them there is none of it."""


def test_the_kept_chapter_is_that_of_the_code() -> None:
    """``python -m tests.scenario.schema_file`` writes it anew."""
    assert PAGE.read_text() == page()


def of_row(row: Row) -> dict[str, set[str]]:
    """By key of a row, its defaults in the sections that the row is about, as a sentence writes them."""
    found: dict[str, set[str]] = {key: set() for key in row.keys}
    for name, keys in sections(scenario_schema()):
        kind = name.partition(".")[2]
        if heading(name) == row.heading and (not row.applies_to or kind in ("", *row.applies_to)):
            for key, default in defaults(name, keys).items():
                if key in found and isinstance(default, str | int | float):
                    found[key].add(said(default))
    return found


def said(default: str | float) -> str:
    """A default without what a sentence may leave out: ``0`` for ``0ms``, ``1`` for ``1.0``."""
    text = f"{default:g}" if isinstance(default, float) else str(default)
    return "0" if re.fullmatch(r"0 ?(ms|s)", text) else text


def stated(text: str) -> set[str]:
    """The defaults that a sentence gives."""
    found = {value.replace(",", "").replace(" ", "") for value in STATED.findall(text)}
    both = re.search(r"([\w.]+) % and ([\w.]+) % by default", text)
    return found - NO_VALUE | ({f"{both[1]}%", f"{both[2]}%"} if both else set())


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row.heading}: {', '.join(row.keys)}")
def test_a_default_that_a_sentence_gives_is_the_codes_and_none_is_left_out(row: Row) -> None:
    found, given = of_row(row), stated(row.meaning)
    allowed = {default for each in found.values() for default in each}
    allowed |= {default for key, default in FOLLOWS if key in row.keys}
    if "'s by default" not in row.meaning and "ending by default" not in row.meaning:
        assert given <= allowed
    for key, values in found.items():
        if key in SAID_OTHERWISE:
            assert SAID_OTHERWISE[key] in row.meaning
        elif key not in NEEDLESS and row.heading != "The file":
            assert values <= given, key


def test_the_default_that_follows_is_the_codes() -> None:
    closed = Replay.model_validate({"mode": "closed", "users": 2, "think_s": 1.0})
    assert closed.think_distribution == "exponential"


@pytest.mark.parametrize(
    ("text", "defaults_"),
    [
        ("how long; 30 s by default", {"30s"}),
        ("`cold` (empty, the default) or not", set()),
        ("cold (empty, the default) or not", {"cold"}),
        ("at most 10,000 by default", {"10000"}),
        ("(100 % and 0 % by default)", {"100%", "0%"}),
        ("none is said", set()),
    ],
)
def test_what_a_sentence_gives_is_read(text: str, defaults_: set[str]) -> None:
    assert stated(text) == defaults_
