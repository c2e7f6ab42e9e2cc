"""Prompts are cleaned as the paper's code cleans them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tiers.prompts import clean


def test_unwanted_characters_go_before_white_space_is_joined() -> None:
    assert clean(' a "fine" — film…\tisn\'t it?\n(yes!) 5/5 ') == "a fine film isn't it? yes! 55"


def test_letters_of_any_script_stay() -> None:
    assert clean("naïve 映画 über-gut") == "naïve 映画 über-gut"


@given(st.text())
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean(clean(text)) == clean(text)
