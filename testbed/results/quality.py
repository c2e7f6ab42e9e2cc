"""Measures how good answers are. ``None`` stands for a request without an answer: it counts as wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from testbed.results.statistics import CONFIDENCE, LEAST_RESAMPLED, RESAMPLES, Interval

Answers = Sequence[str | None]


def correctness(answers: Answers, references: Sequence[str]) -> list[bool]:
    """Whether each answer is its reference, to the letter; a request without an answer is wrong.

    Raises:
        ValueError: not as many answers as references.
    """
    return [answer == reference for answer, reference in zip(answers, references, strict=True)]


def accuracy(answers: Answers, references: Sequence[str]) -> float | None:
    """Share of all requests answered rightly; ``None`` if there are none."""
    return _share(correctness(answers, references))


def accuracy_answered(answers: Answers, references: Sequence[str]) -> float | None:
    """Share of the answered requests answered rightly; ``None`` if none was answered."""
    pairs = zip(answers, references, strict=True)
    return _share([answer == reference for answer, reference in pairs if answer is not None])


def macro_f1(answers: Answers, references: Sequence[str], labels: Sequence[str]) -> float | None:
    """Mean over ``labels`` of F1 = 2TP / (2TP + FP + FN); ``None`` if there are no requests.

    A request without an answer is a false negative of its reference. A label that is neither answered nor
    asked for has an F1 of 0, as in scikit-learn.
    """
    if not references:
        return None
    scores = []
    for label in labels:
        pairs = list(zip(answers, references, strict=True))
        hits = sum(answer == reference == label for answer, reference in pairs)
        answered = sum(answer == label for answer, _ in pairs)
        asked = sum(reference == label for _, reference in pairs)
        scores.append(2 * hits / (answered + asked) if answered + asked else 0.0)
    return sum(scores) / len(scores)


class Bleu(NamedTuple):
    """A corpus score, 0 to 100, with its interval; ``None`` for fewer than 10 requests: too narrow there."""

    score: float
    interval: Interval | None


def bleu(answers: Answers, references: Sequence[str]) -> Bleu | None:
    """Corpus BLEU by sacrebleu's defaults (13a tokens, exponential smoothing; Post, WMT 2018).

    A request without an answer is an empty hypothesis. ``None`` if there are no requests. The interval is by
    resampling requests (Koehn, EMNLP 2004; percentile method, fixed seed).

    Raises:
        ValueError: not as many answers as references.
    """
    counts = bleu_counts(answers, references)
    if not len(counts):
        return None
    resampled = [bleu_of(drawn) for drawn in _resampled(counts)]
    return Bleu(bleu_of(counts.sum(axis=0)), _interval(resampled, len(counts)))


def bleu_difference(first: Answers, second: Answers, references: Sequence[str]) -> Bleu | None:
    """The second's BLEU less the first's over the same requests; resampled alike, so it is paired."""
    counts_1, counts_2 = bleu_counts(first, references), bleu_counts(second, references)
    if not len(counts_1):
        return None
    resampled = zip(_resampled(counts_1), _resampled(counts_2), strict=True)
    differences = [bleu_of(drawn_2) - bleu_of(drawn_1) for drawn_1, drawn_2 in resampled]
    difference = bleu_of(counts_2.sum(axis=0)) - bleu_of(counts_1.sum(axis=0))
    return Bleu(difference, _interval(differences, len(counts_1)))


def bleu_counts(answers: Answers, references: Sequence[str]) -> NDArray[np.int64]:
    """A row for each request: n-grams that match, n-grams that there are (n from 1 to 4), both lengths."""
    from sacrebleu.metrics import BLEU  # late: it is large, and classification has no use for it

    metric = BLEU(effective_order=True)  # only a sentence's counts are used, which no smoothing changes
    pairs = zip(answers, references, strict=True)
    scores = [metric.sentence_score(answer or "", [reference]) for answer, reference in pairs]
    rows = [[*score.counts, *score.totals, score.sys_len, score.ref_len] for score in scores]
    return np.array(rows, dtype=np.int64).reshape(len(rows), 10)


def bleu_of(counts: NDArray[np.int64]) -> float:
    """BLEU of summed rows of :func:`bleu_counts`."""
    from sacrebleu.metrics import BLEU

    *ngrams, answer_length, reference_length = map(int, counts)
    bleu = BLEU.compute_bleu(ngrams[:4], ngrams[4:], answer_length, reference_length, smooth_method="exp")
    return float(bleu.score)


def _resampled(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sums over as many requests, drawn with replacement; the draws are the same for equally many rows."""
    requests = len(counts)
    chance, alike = np.random.default_rng(0), np.full(requests, 1 / requests)
    return np.array([chance.multinomial(requests, alike) @ counts for _ in range(RESAMPLES)], dtype=np.int64)


def _interval(resampled: Sequence[float], requests: int) -> Interval | None:
    if requests < LEAST_RESAMPLED:
        return None
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(low), float(high))


CHRF_ORDERS = range(1, 7)
"""Lengths of the character n-grams of chrF."""
_CHRF_BETA = 2
"""How many times as much as precision recall counts in chrF."""


def chrf(answers: Answers, references: Sequence[str]) -> Bleu | None:
    """Corpus chrF by sacrebleu's defaults (characters without white space, n to 6, β = 2; Popović, WMT 2015).

    Requests without an answer and the interval are as with :func:`bleu`.

    Raises:
        ValueError: not as many answers as references.
    """
    pairs = zip(answers, references, strict=True)
    counts = np.array([_characters(answer or "", reference) for answer, reference in pairs], dtype=np.int64)
    if not len(counts):
        return None
    resampled = [_chrf(drawn) for drawn in _resampled(counts)]
    return Bleu(_chrf(counts.sum(axis=0)), _interval(resampled, len(counts)))


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


def _chrf(counts: NDArray[np.int64]) -> float:
    """F of the mean precision and the mean recall over the orders that both sides have."""
    rates = [
        (match / ours, match / theirs) for ours, theirs, match in counts.reshape(-1, 3) if ours and theirs
    ]
    if not rates:
        return 0.0
    precision, recall = np.mean(rates, axis=0)
    weight = _CHRF_BETA**2
    both = weight * precision + recall
    return float(100 * (1 + weight) * precision * recall / both) if both else 0.0


def _share(correct: Sequence[bool]) -> float | None:
    return sum(correct) / len(correct) if correct else None
