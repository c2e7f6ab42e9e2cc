"""A verdict follows from where a whole interval lies, not from where its middle does."""

from __future__ import annotations

import pytest

from testbed.results.statistics import Estimate, Interval
from testbed.study.paper.claims import CLAIMS, FLAT, MARGIN
from testbed.study.paper.verdicts import Condition, Outcome, Value, verdict_of


def value(low: float, high: float) -> Value:
    return Value(Estimate((low + high) / 2, Interval(low, high)))


@pytest.mark.parametrize(
    ("condition", "ends", "outcome"),
    [
        (Condition("x", below=0.5), (0.3, 0.49), "holds"),
        (Condition("x", below=0.5), (0.3, 0.5), "open"),
        (Condition("x", below=0.5), (0.5, 0.6), "contradicted"),
        (Condition("x", above=-0.02), (-0.019, 0.1), "holds"),
        (Condition("x", above=-0.02), (-0.02, 0.1), "open"),
        (Condition("x", above=-0.02), (-0.2, -0.02), "contradicted"),
        (Condition("x", above=-1, below=1), (-0.9, 0.9), "holds"),
        (Condition("x", above=-1, below=1), (-1.1, 0.9), "open"),
        (Condition("x", above=-1, below=1), (-3, 3), "open"),
        (Condition("x", above=-1, below=1), (1, 3), "contradicted"),
        (Condition("x", above=-1, below=1), (-3, -1), "contradicted"),
    ],
)
def test_a_condition_is_about_the_whole_interval(
    condition: Condition, ends: tuple[float, float], outcome: Outcome
) -> None:
    assert condition.judged(value(*ends).estimate) == outcome


def test_without_an_interval_nothing_is_shown() -> None:
    assert Condition("x", above=0).judged(Estimate(9.0, None)) == "open"
    verdict, why = verdict_of([Condition("x", above=0)], {"x": Value(Estimate(9.0, None))})
    assert (verdict, why) == ("not", "left open for want of an interval: lower end of x > 0")


def test_what_was_counted_is_its_own_interval_and_is_written_without_one() -> None:
    counted = Value.counted(3)
    assert (counted.words, Value.counted(0.5, ".2f", "of bytes").words) == (
        "3 (counted)",
        "0.50 of bytes (counted)",
    )
    assert Condition("x", above=2).judged(counted.estimate) == "holds"
    assert Condition("x", below=3).judged(counted.estimate) == "contradicted"


def test_an_estimate_is_written_with_its_interval_even_if_that_is_a_point() -> None:
    assert Value(Estimate(0.0, Interval(0.0, 0.0)), "+.2f", "BLEU").words == "+0.00 [+0.00, +0.00] BLEU"
    assert Value(Estimate(0.5, None)).words == "0.500"


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (Condition("x", above=0, unit="BLEU"), "lower end of x > 0 BLEU"),
        (Condition("x", below=0.5), "upper end of x < 0.5"),
        (Condition("x", above=0.9, below=1.1), "interval of x within 0.9 to 1.1"),
        (Condition("x", above=0, unit="B", is_counted=True), "x > 0 B (counted)"),
        (Condition("x", below=1, is_counted=True), "x < 1 (counted)"),
        (Condition("x", 0.2, 0.4, "of bytes", True), "x > 0.2 and < 0.4 of bytes (counted)"),
    ],
)
def test_a_condition_in_words_has_its_unit_and_whether_it_is_counted(
    condition: Condition, words: str
) -> None:
    assert condition.words == words


def test_all_conditions_must_hold_and_each_that_does_not_is_named() -> None:
    conditions = [Condition("burden", below=0.5), Condition("difference", above=-0.02)]
    assert verdict_of(conditions, {"burden": value(0.3, 0.4), "difference": value(-0.01, 0.01)}) == (
        "reproduced",
        "",
    )
    verdict, why = verdict_of(conditions, {"burden": value(0.6, 0.7), "difference": value(-0.03, 0.01)})
    assert verdict == "not"
    assert why == ("contradicted: upper end of burden < 0.5; left open: lower end of difference > -0.02")


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
@pytest.mark.parametrize("score", ["accuracy", "bleu"])
def test_each_claim_says_what_is_to_hold(claim: object, score: str) -> None:
    from testbed.study.paper.claims import Claim

    assert isinstance(claim, Claim)
    conditions = claim.conditions(score)
    assert conditions
    for condition in conditions:
        assert condition.above is not None or condition.below is not None
    assert claim.mark in ("note", "ours") if claim.published else claim.mark == "-"
    assert FLAT[score] < MARGIN[score]


def published(name: str, kind: str) -> str:
    (claim,) = (claim for claim in CLAIMS if claim.name == name)
    return claim.published_of(None, kind)


def test_what_is_derived_from_published_figures_says_that_it_is_ours() -> None:
    for burden in ("29.22 MB (0.480 of CloudServe's, ours)", "24.78 MB (0.478 of CloudServe's, ours)"):
        assert burden in published("below-half", "classification")
    assert "449.06 KB (about 0.31 of CloudServe's, ours)" in published("below-half", "translation")
    assert "CasServe (setting 2) 93.32 %, 30.70 MB" in published("better-than-casserve", "classification")
    # 0.480 / 0.390 = 1.231 and 0.478 / 0.390 = 1.226; 0.31 / 0.390 = 0.795.
    assert published("length-effect", "classification") == (
        "1.23: the published burdens 0.480 (IMDB) and 0.478 (Yelp) over theory's 0.390"
    )
    assert published("length-effect", "translation") == (
        "below 1: the published burden about 0.31 (WMT19) over theory's 0.390"
    )
