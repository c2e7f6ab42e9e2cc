"""Measures how good answers are. ``None`` stands for a request without an answer: it counts as wrong."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from testbed.results.paired import Counts, Score, ScoreDifference, counted_difference
from testbed.results.resampling import Prompts, interval, resampled
from testbed.results.statistics import LEAST_RESAMPLED, RESAMPLES, Interval

if TYPE_CHECKING:
    from sacrebleu.metrics import BLEU

Answers = Sequence[str | None]
_AT_A_TIME = 100
"""Resamples that are held in memory together."""


def correctness(
    answers: Answers, references: Sequence[str], right: Callable[[str, str], bool] = operator.eq
) -> list[bool]:
    """Whether each answer is right: its reference, to the letter, unless ``right`` says otherwise.

    A request without an answer is wrong.

    Raises:
        ValueError: not as many answers as references.
    """
    return [
        answer is not None and right(answer, reference)
        for answer, reference in zip(answers, references, strict=True)
    ]


def accuracy(answers: Answers, references: Sequence[str]) -> float | None:
    """Share of all requests answered rightly; ``None`` if there are none."""
    return _share(correctness(answers, references))


def accuracy_answered(answers: Answers, references: Sequence[str]) -> float | None:
    """Share of the answered requests answered rightly; ``None`` if none was answered."""
    pairs = zip(answers, references, strict=True)
    return _share([answer == reference for answer, reference in pairs if answer is not None])


class Scored(NamedTuple):
    """A score with its interval, which is ``None`` for fewer than 10 requests: too narrow there."""

    score: float
    interval: Interval | None


def macro_f1(answers: Answers, references: Sequence[str]) -> Scored | None:
    """Mean of F1 = 2TP / (2TP + FP + FN) over the labels that references have; ``None`` without requests.

    A request without an answer is a false negative of its reference. The interval is by resampling requests
    (percentile method, fixed seed); a label that a resample does not ask for is left out of its mean.

    Raises:
        ValueError: not as many answers as references.
    """
    from scipy.sparse import csr_array  # late, as in the statistics

    pairs = Counter(zip(answers, references, strict=True))
    if not pairs:
        return None
    labels = sorted(set(references))
    counts = np.array(list(pairs.values()), dtype=np.int64)
    # By kind of pair and label, mostly zeros: is it an answer, is it asked for, is it a hit?
    answered, asked = (
        csr_array([[side == label for label in labels] for side in sides], dtype=np.float64)
        for sides in zip(*pairs, strict=True)
    )
    both = answered * asked

    def score(drawn: NDArray[np.int64]) -> NDArray[np.float64]:
        wanted, found = drawn @ asked, drawn @ (answered + asked)
        f1 = 2 * (drawn @ both) / np.maximum(found, 1)
        mean: NDArray[np.float64] = f1.sum(axis=-1, where=wanted > 0) / (wanted > 0).sum(axis=-1)
        return mean

    requests, chance = int(counts.sum()), np.random.default_rng(0)
    scores = np.concatenate(
        [
            score(chance.multinomial(requests, counts / requests, size=_AT_A_TIME))
            for _ in range(RESAMPLES // _AT_A_TIME)
        ]
    )
    return Scored(float(score(counts)), interval(scores) if requests >= LEAST_RESAMPLED else None)


def macro_f1_difference(
    first: Answers, second: Answers, references: Sequence[str], prompts: Prompts | None = None
) -> ScoreDifference | None:
    """The second's macro-F1 less the first's over the same requests, by :func:`counted_difference`."""
    labels = np.array(sorted(set(references)), dtype=object)

    def is_label(texts: Answers) -> Counts:
        alike: NDArray[np.bool_] = np.array(texts, dtype=object)[:, None] == labels
        return alike.astype(np.float64)

    def counts(answers: Answers) -> Counts:
        answered, asked = is_label(answers), is_label(references)
        return np.hstack([answered + asked, asked, answered * asked])

    def score(sums: Counts) -> Counts:
        found, asked, hits = np.split(sums, 3, axis=1)
        f1 = 2 * hits / np.maximum(found, 1)
        mean: Counts = np.mean(f1, axis=1, where=asked > 0)
        return mean

    return counted_difference(counts(first), counts(second), score, prompts) if references else None


def mean_score(scores: Sequence[float]) -> Scored | None:
    """The mean of requests' scores, its interval by resampling requests; ``None`` without requests."""
    return _scored(_mean_counts(scores), _mean_of)


def mean_difference(
    first: Sequence[float], second: Sequence[float], prompts: Prompts | None = None
) -> ScoreDifference | None:
    """The second's mean score less the first's over the same requests, by :func:`counted_difference`."""
    return counted_difference(_mean_counts(first), _mean_counts(second), _mean_of, prompts)


def _mean_counts(scores: Sequence[float]) -> Counts:
    return np.array([(score, 1.0) for score in scores], dtype=np.float64).reshape(len(scores), 2)


def _mean_of(sums: Counts) -> Counts:
    return sums[:, 0] / sums[:, 1]


def bleu(answers: Answers, references: Sequence[str]) -> Scored | None:
    """Corpus BLEU by sacrebleu's defaults (13a tokens, exponential smoothing; Post, WMT 2018).

    A request without an answer is an empty hypothesis. ``None`` if there are no requests. The interval is by
    resampling requests (Koehn, EMNLP 2004; percentile method, fixed seed).

    Raises:
        ValueError: not as many answers as references.
    """
    return _scored(bleu_counts(answers, references), _bleu_of_each)


def bleu_difference(
    first: Answers, second: Answers, references: Sequence[str], prompts: Prompts | None = None
) -> ScoreDifference | None:
    """The second's BLEU less the first's over the same requests, by :func:`counted_difference`."""
    counts = bleu_counts(first, references), bleu_counts(second, references)
    return counted_difference(*counts, _bleu_of_each, prompts)


def bleu_counts(answers: Answers, references: Sequence[str]) -> Counts:
    """A row for each request: n-grams that match, n-grams that there are (n from 1 to 4), both lengths."""
    rows = [_bleu_row(answer or "", reference) for answer, reference in zip(answers, references, strict=True)]
    return np.array(rows, dtype=np.float64).reshape(len(rows), 10)


@lru_cache(100_000)  # methods are compared each with each, and often have the same answer
def _bleu_row(answer: str, reference: str) -> tuple[int, ...]:
    score = _sentence_bleu().sentence_score(answer, [reference])
    return (*score.counts, *score.totals, score.sys_len, score.ref_len)


@cache
def _sentence_bleu() -> BLEU:
    from sacrebleu.metrics import BLEU  # late: it is large, and classification has no use for it

    return BLEU(effective_order=True)  # only a sentence's counts are used, which no smoothing changes


def bleu_of(counts: Counts) -> float:
    """BLEU of summed rows of :func:`bleu_counts`."""
    from sacrebleu.metrics import BLEU

    *ngrams, answer_length, reference_length = map(int, counts)
    bleu = BLEU.compute_bleu(ngrams[:4], ngrams[4:], answer_length, reference_length, smooth_method="exp")
    return float(bleu.score)


def _bleu_of_each(sums: Counts) -> Counts:
    return np.array([bleu_of(row) for row in sums])


CHRF_ORDERS = range(1, 7)
"""Lengths of the character n-grams of chrF."""
_CHRF_BETA = 2
"""How many times as much as precision recall counts in chrF."""


def chrf(answers: Answers, references: Sequence[str]) -> Scored | None:
    """Corpus chrF by sacrebleu's defaults (characters without white space, n to 6, β = 2; Popović, WMT 2015).

    Requests without an answer and the interval are as with :func:`bleu`.

    Raises:
        ValueError: not as many answers as references.
    """
    return _scored(_chrf_counts(answers, references), _chrf)


def chrf_difference(
    first: Answers, second: Answers, references: Sequence[str], prompts: Prompts | None = None
) -> ScoreDifference | None:
    """The second's chrF less the first's over the same requests, by :func:`counted_difference`."""
    counts = _chrf_counts(first, references), _chrf_counts(second, references)
    return counted_difference(*counts, _chrf, prompts)


def _scored(counts: Counts, score: Score) -> Scored | None:
    """A score of sums over requests, and its interval by resampling them."""
    if not len(counts):
        return None
    (found,) = score(counts.sum(axis=0, keepdims=True))
    enough = len(counts) >= LEAST_RESAMPLED
    return Scored(float(found), interval(score(resampled(counts, RESAMPLES))) if enough else None)


def _chrf_counts(answers: Answers, references: Sequence[str]) -> Counts:
    pairs = zip(answers, references, strict=True)
    rows = [_characters(answer or "", reference) for answer, reference in pairs]
    return np.array(rows, dtype=np.float64).reshape(len(rows), 3 * len(CHRF_ORDERS))


def _characters(answer: str, reference: str) -> list[int]:
    """For each order: the n-grams of the answer, those of the reference, and how many of both match."""
    first, second = ("".join(text.split()) for text in (answer, reference))
    row = []
    for order in CHRF_ORDERS:
        ours, theirs = (
            Counter(text[at : at + order] for at in range(len(text) - order + 1)) for text in (first, second)
        )
        row += [ours.total(), theirs.total(), (ours & theirs).total()]
    return row


def _chrf(sums: Counts) -> Counts:
    """F of the mean precision and the mean recall over the orders that both sides have."""
    ours, theirs, match = sums.reshape(len(sums), -1, 3).transpose(2, 0, 1)
    known = (ours > 0) & (theirs > 0)
    orders = np.maximum(known.sum(axis=1), 1)
    precision, recall = (
        np.where(known, match / np.maximum(side, 1), 0).sum(axis=1) / orders for side in (ours, theirs)
    )
    weight = _CHRF_BETA**2
    both = weight * precision + recall
    f: Counts = 100 * (1 + weight) * precision * recall / np.where(both > 0, both, 1)
    return f


def _share(correct: Sequence[bool]) -> float | None:
    return sum(correct) / len(correct) if correct else None
