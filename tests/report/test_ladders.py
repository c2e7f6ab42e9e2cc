"""The translation ladder's table, and the sentence beneath it."""

from __future__ import annotations

import pytest
from rich.console import Console

from testbed.host.embedded.translation.ladder import SIZES
from testbed.report.ladders import rising_sentence, translation_table
from testbed.results.quality import Scored
from testbed.results.statistics import Interval


@pytest.mark.parametrize(
    ("scores", "sentence"),
    [
        (
            [(10, 9, 11), (20, 19, 21), (30, 29, 31)],
            "BLEU rises strictly, and the intervals are apart",
        ),
        (
            [(10, 9, 11), (12, 10, 14), (30, 29, 31)],
            "BLEU rises strictly; the intervals are not apart for a and b",
        ),
        ([(10, 9, 11), (20, 19, 21), (20, 19, 21)], "BLEU does not rise from b to c"),
    ],
)
def test_the_sentence_says_whether_the_ladder_is_one(
    scores: list[tuple[float, float, float]], sentence: str
) -> None:
    named = zip("abc", scores, strict=True)
    given = [(name, Scored(at, Interval(low, high))) for name, (at, low, high) in named]
    assert rising_sentence(given) == sentence


def test_few_sentences_have_no_interval() -> None:
    assert rising_sentence([("a", Scored(1, None)), ("b", Scored(2, None))]).endswith("not apart for a and b")


def test_the_table_has_a_row_for_each_size_with_its_bytes() -> None:
    console = Console(width=150, record=True)
    score = Scored(31.415, Interval(30.0, 32.0))
    console.print(translation_table("debian_en_de", 7, [(size, score, None) for size in SIZES.values()]))
    printed = console.export_text()
    assert all(text in printed for text in ("device", "edge", "cloud", "31.41 [30.00, 32.00]", "n/v"))
    assert f"{SIZES['cloud'].weights.stat().st_size / 1e6:.2f}" in printed
