"""Confidences, each against numpy's own arithmetic, at their bounds, and as RecServe sees them: by rank."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiers.confidence import CONFIDENCES, Confidence, make_confidence
from tiers.errors import ConfigError
from tiers.models.base import Output
from tiers.policies import Place, Policy, make_policy

LOGITS = st.lists(st.floats(-700, 700), min_size=2, max_size=6)
LOGPROBS = st.lists(st.floats(-600, 0), min_size=1, max_size=30)
OF_LOGITS = ("max_softmax", "sigmoid", "margin", "entropy")
OF_TOKENS = ("inverse_perplexity", "paper_seq2seq", "min_token", "token_quantile")


def of_logits(name: str, logits: Sequence[float]) -> float:
    return make_confidence(name).of(Output("x", logits=logits))


def of_tokens(name: str, logprobs: Sequence[float]) -> float:
    return make_confidence(name).of(Output("x", token_logprobs=logprobs))


def test_these_are_all_confidences_and_the_names_of_before_mean_the_same_classes() -> None:
    assert CONFIDENCES.names == sorted(OF_LOGITS + OF_TOKENS)
    for older, today in (("seq2class", "max_softmax"), ("seq2seq", "inverse_perplexity")):
        assert CONFIDENCES.find(older) is CONFIDENCES.find(today)
        assert older in CONFIDENCES
    assert "seq2clas" not in CONFIDENCES


@given(LOGITS)
def test_confidences_of_logits_are_those_of_numpys_softmax(logits: list[float]) -> None:
    shifted = np.exp(np.array(logits) - max(logits))
    shares = np.sort(shifted / shifted.sum())
    spread = -sum(share * math.log(share) for share in shares if share)
    expected = {
        "max_softmax": shares[-1],
        "margin": shares[-1] - shares[-2],
        "entropy": 1 - spread / math.log(len(logits)),
    }
    for name, value in expected.items():
        assert of_logits(name, logits) == pytest.approx(float(value), rel=1e-12, abs=1e-12)
        assert 0 <= of_logits(name, logits) <= 1


@given(LOGPROBS)
def test_confidences_of_tokens_are_those_of_numpy(logprobs: list[float]) -> None:
    perplexity = float(np.exp(-np.mean(logprobs)))
    expected = {
        "inverse_perplexity": 1 / perplexity,
        "paper_seq2seq": 1 / (1 + perplexity),
        "min_token": np.exp(min(logprobs)),
        "token_quantile": np.quantile(np.exp(logprobs), 0.1),
    }
    for name, value in expected.items():
        assert of_tokens(name, logprobs) == pytest.approx(float(value), rel=1e-9)
        assert 0 <= of_tokens(name, logprobs) <= 1


def test_they_rise_with_certainty_and_reach_their_bounds() -> None:
    even, sure, certain = [1.0, 1.0, 1.0], [3.0, 1.0, 1.0], [9000.0, -9000.0, -math.inf]
    for name in ("max_softmax", "margin", "entropy"):
        assert of_logits(name, even) < of_logits(name, sure) < of_logits(name, certain) == 1.0
    assert of_logits("margin", even) == 0.0
    assert of_logits("entropy", even) == pytest.approx(0, abs=1e-15)
    for name in OF_TOKENS:
        most = 0.5 if name == "paper_seq2seq" else 1.0
        assert of_tokens(name, [-2.0, -1.0]) < of_tokens(name, [-0.2, -0.1]) < most
        assert of_tokens(name, [0.0, 0.0]) == of_tokens(name, [1e-7, 0.0]) == most  # rounding of an engine


@pytest.mark.parametrize("name", OF_LOGITS)
def test_one_class_leaves_no_doubt_and_none_is_refused(name: str) -> None:
    if name != "sigmoid":
        assert of_logits(name, [-3.0]) == 1.0
    for output in (Output("x", token_logprobs=[-1.0]), Output("x", logits=[])):
        with pytest.raises(ValueError, match=f"{name} needs the logits of a classifier"):
            make_confidence(name).of(output)


@pytest.mark.parametrize("name", OF_TOKENS)
def test_one_token_speaks_for_itself_no_token_says_nothing_and_none_known_is_refused(name: str) -> None:
    alone = 0.2 if name == "paper_seq2seq" else 0.25
    assert of_tokens(name, [math.log(0.25)]) == pytest.approx(alone)
    assert of_tokens(name, []) == 0.0
    assert of_tokens(name, [-math.inf, -1e4]) == of_tokens(name, [-3.4e38] * 3) == 0.0
    with pytest.raises(ValueError, match=f"{name} needs token log-probabilities"):
        make_confidence(name).of(Output("x", logits=[1.0]))


def test_those_that_measure_a_whole_answer_do_not_depend_on_its_length() -> None:
    for name in ("inverse_perplexity", "paper_seq2seq", "min_token", "token_quantile"):
        assert of_tokens(name, [math.log(0.5)] * 7) == pytest.approx(of_tokens(name, [math.log(0.5)]))


def test_a_confidence_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match="no confidence 'entropie'; known are entropy, inverse_perplexity,"):
        make_confidence("entropie")


DEVICE = Place("device1", "device", ("device", "cloud"))
LEVELS = 30


@given(
    st.lists(st.integers(0, LEVELS - 1), max_size=80),
    st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 1.0]) | st.integers(0, 64).map(lambda number: number / 64),
    st.integers(1, 40),
    st.lists(st.floats(1e-6, 1), min_size=LEVELS, max_size=LEVELS),
)
def test_any_strictly_rising_transform_of_a_confidence_leaves_recserves_decisions(
    ranks: list[int], beta: float, size: int, steps: list[float]
) -> None:
    """A request goes up exactly if its confidence is below the ⌈β(m - 1)⌉-th of the window, from 0."""
    images = [height / sum(steps) for height in itertools.accumulate(steps)]
    transforms: list[Callable[[int], float]] = [lambda rank: rank / LEVELS, lambda rank: images[rank]]
    policies = [make_policy({"policy": "recserve", "beta": beta, "window": size}, DEVICE) for _ in transforms]
    for number, rank in enumerate(ranks):
        window = sorted(ranks[max(0, number + 1 - size) : number + 1])
        goes_up = rank < window[math.ceil(beta * (len(window) - 1))]
        for policy, transform in zip(policies, transforms, strict=True):
            assert policy.decide(min(transform(rank), 1.0)).keep is not goes_up


@given(st.lists(LOGPROBS, max_size=40), st.integers(0, 16))
def test_the_papers_confidence_decides_as_the_inverse_of_perplexity(
    answers: list[list[float]], beta: int
) -> None:
    first, second = (
        make_policy({"policy": "recserve", "beta": beta / 16}, DEVICE),
        make_policy({"policy": "recserve", "beta": beta / 16}, DEVICE),
    )
    rounded = [[round(logprob, 1) for logprob in logprobs] for logprobs in answers]
    for logprobs in rounded:
        kept = first.decide(of_tokens("inverse_perplexity", logprobs)).keep
        assert second.decide(of_tokens("paper_seq2seq", logprobs)).keep is kept


def decisions(policy: Policy, confidences: Sequence[float]) -> list[bool]:
    return [policy.decide(confidence).keep for confidence in confidences]


def test_where_decisions_depend_on_more_than_ranks() -> None:
    """Floating point cannot tell a threshold from neighbours without a number between them; and a window that
    lacks the current confidence has a threshold on either side of it, wherever the scale puts it.
    """
    spec = {"policy": "recserve", "beta": 0.25}
    near, far = [math.nextafter(0.5, 1), 0.5], [0.6, 0.5]
    assert decisions(make_policy(spec, DEVICE), far) == [True, False]
    assert decisions(make_policy(spec, DEVICE), near) == [True, True]
    after = {"policy": "recserve", "beta": 0.5, "enter": "after"}
    confidences = [0.0, 1.0, 0.4]
    assert decisions(make_policy(after, DEVICE), confidences)[-1] is False
    assert decisions(make_policy(after, DEVICE), [value**0.5 for value in confidences])[-1] is True


def test_every_confidence_is_one() -> None:
    assert all(issubclass(CONFIDENCES.find(name), Confidence) for name in CONFIDENCES.names)
