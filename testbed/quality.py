"""How good answers are. ``None`` stands for a request that ended in an error: it counts as wrong."""

from __future__ import annotations

from collections.abc import Sequence

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


def bleu(answers: Answers, references: Sequence[str]) -> float | None:
    """Corpus BLEU, 0 to 100, by sacrebleu's defaults (13a tokens, exponential smoothing; Post, WMT 2018).

    A request without an answer is an empty hypothesis. ``None`` if there are no requests.
    """
    import sacrebleu  # late: it is large, and classification has no use for it

    if len(answers) != len(references):
        raise ValueError(f"{len(answers)} answers for {len(references)} references")
    if not references:
        return None
    return float(sacrebleu.corpus_bleu([answer or "" for answer in answers], [list(references)]).score)


def _share(correct: Sequence[bool]) -> float | None:
    return sum(correct) / len(correct) if correct else None
