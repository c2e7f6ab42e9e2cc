"""How answers are scored: one scorer for each kind of task, chosen once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from testbed.errors import TestbedError
from testbed.results.columns import Row
from testbed.results.paired import ScoreDifference, share_difference
from testbed.results.quality import (
    Answers,
    Scored,
    accuracy_answered,
    bleu,
    bleu_difference,
    chrf,
    chrf_difference,
    correctness,
    macro_f1,
    macro_f1_difference,
    mean_difference,
    mean_score,
)
from testbed.results.resampling import Prompts
from testbed.results.statistics import interval_to_json, share_interval
from testbed.scenario.sections.kind import right_by, scorer_name

Right = Callable[[str, str], bool]
"""Whether an answer is right, given the reference."""


class Difference(Protocol):
    """Compares two methods on the same requests: ``difference``, its ``ci`` and ``p_value``.

    ``prompts`` says which of them ask the same; without, all are taken to ask different ones. ``None``
    without requests.
    """

    def __call__(
        self,
        first: Sequence[Any],
        second: Sequence[Any],
        references: Sequence[str],
        prompts: Prompts | None = None,
        /,
    ) -> dict[str, Any] | None: ...


@dataclass(frozen=True)
class Scorer:
    """The figures of quality for one kind of task, and how they are printed.

    ``score(answers, references)`` gives the figures of a method, among them ``key`` and its interval as
    ``key_ci``. ``difference`` is the second's score less the first's, with its paired interval. What stands
    for answers are the values of ``column`` in ``requests.parquet``, ``None`` for a request without one.
    """

    key: str
    """Name of the score in ``summary.json``."""
    heading: str
    """Name of the score in a printed table."""
    decimals: int
    score: Callable[[Sequence[Any], Sequence[str]], dict[str, Any]]
    difference: Difference
    test: str
    """How ``difference`` comes to its p-value, for people."""
    also: Scorer | None = None
    """Another score of the same answers, which ``score`` gives too."""
    right: Right | None = None
    """Whether an answer is right, given the reference; ``None`` for tasks without right and wrong answers."""
    column: Literal["answer", "score"] = "answer"

    def judged(self, row: Row) -> Any:
        """What it judges of a row of ``requests.parquet``."""
        return row[self.column] if row["outcome"] == "answered" else None

    @property
    def interval_key(self) -> str:
        """Name of the score's interval in ``summary.json``."""
        return f"{self.key}_ci"

    @property
    def difference_key(self) -> str:
        """Name of the difference from cloud-only in ``summary.json``."""
        return f"{self.key}_vs_cloud_only"


def _with_interval(key: str, scored: Scored | None) -> dict[str, Any]:
    return {key: scored and scored.score, f"{key}_ci": interval_to_json(scored and scored.interval)}


def _share(key: str, answers: Answers, references: Sequence[str], right: Right) -> dict[str, Any]:
    hits = correctness(answers, references, right)
    share = Scored(sum(hits) / len(hits), share_interval(sum(hits), len(hits))) if hits else None
    return _with_interval(key, share)


def _accuracy(right: Right) -> Scorer:
    def score(answers: Answers, references: Sequence[str]) -> dict[str, Any]:
        return {
            **_share("accuracy", answers, references, right),
            "accuracy_answered": accuracy_answered(answers, references),
            **_with_interval("macro_f1", macro_f1(answers, references)),
        }

    return Scorer("accuracy", "accuracy", 3, score, _paired(right), _EXACT, also=_MACRO_F1, right=right)


def _exact_match(right: Right) -> Scorer:
    def score(answers: Answers, references: Sequence[str]) -> dict[str, Any]:
        return _share("exact_match", answers, references, right)

    return Scorer("exact_match", "exact match", 3, score, _paired(right), _EXACT, right=right)


def _paired(right: Right) -> Difference:
    def difference(
        first: Answers, second: Answers, references: Sequence[str], prompts: Prompts | None = None, /
    ) -> dict[str, Any] | None:
        hits = correctness(first, references, right), correctness(second, references, right)
        return _to_json(share_difference(*hits, prompts))

    return difference


def _to_json(compared: ScoreDifference | None) -> dict[str, Any] | None:
    return compared and {
        "difference": compared.difference,
        "ci": interval_to_json(compared.interval),
        "p_value": compared.p_value,
    }


def _counted(tested: Callable[..., ScoreDifference | None]) -> Difference:
    def difference(
        first: Answers, second: Answers, references: Sequence[str], prompts: Prompts | None = None, /
    ) -> dict[str, Any] | None:
        return _to_json(tested(first, second, references, prompts))

    return difference


def _translation(answers: Answers, references: Sequence[str]) -> dict[str, Any]:
    return {
        **_with_interval("bleu", bleu(answers, references)),
        **_with_interval("chrf", chrf(answers, references)),
    }


Scores = Sequence[float | None]


def _mean(scores: Scores, references: Sequence[str]) -> dict[str, Any]:
    return _with_interval("score", mean_score([score or 0.0 for score in scores]))


def _mean_difference(
    first: Scores, second: Scores, references: Sequence[str], prompts: Prompts | None = None, /
) -> dict[str, Any] | None:
    one, other = ([score or 0.0 for score in side] for side in (first, second))
    return _to_json(mean_difference(one, other, prompts))


def _no_score(*_: Any) -> dict[str, Any]:
    return _with_interval("quality", None)


def _no_difference(*_: Any) -> None:
    return None


_EXACT, _RANDOMISED = "McNemar's exact test", "approximate randomisation"
_MACRO_F1 = Scorer(
    "macro_f1", "macro-F1", 3, lambda *both: _with_interval("macro_f1", macro_f1(*both)),
    _counted(macro_f1_difference), _RANDOMISED,
)  # fmt: skip
_CHRF = Scorer("chrf", "chrF", 1, _translation, _counted(chrf_difference), _RANDOMISED)
_BLEU = Scorer("bleu", "BLEU", 1, _translation, _counted(bleu_difference), _RANDOMISED, also=_CHRF)
_SCORE = Scorer("score", "score", 3, _mean, _mean_difference, _RANDOMISED, column="score")
_NOTHING = Scorer("quality", "quality", 3, _no_score, _no_difference, "nothing to test")
"""Without references there is nothing to judge, and the figures of quality are null."""

_OF_RIGHT: dict[str, Callable[[Right], Scorer]] = {"accuracy": _accuracy, "exact_match": _exact_match}
_OTHERS = {"bleu": _BLEU, "score": _SCORE, "none": _NOTHING}


HEADINGS = {"accuracy": "accuracy", "exact_match": "exact match", "bleu": "BLEU", "score": "score"}
"""Of printed tables, by the name of a score."""
DECIMALS = {"accuracy": 3, "exact_match": 3, "bleu": 1, "score": 3}


class _Scorers(dict[str, Scorer]):
    """Scorers by a task's ``kind``, each made when it is first asked for."""

    def __missing__(self, kind: str) -> Scorer:
        name, right = scorer_name(kind), right_by(kind)
        if name in _OF_RIGHT and right is not None:
            self[kind] = _OF_RIGHT[name](right)
        else:
            self[kind] = _OTHERS[name]
        return self[kind]


SCORERS = _Scorers()
"""By a task's ``kind``."""


def chosen_scorer(kind: str, key: str | None = None) -> Scorer:
    """The scorer of a kind of task: its first, or the one of that name.

    Raises:
        TestbedError: the kind has no score of that name.
    """
    there = [scorer for scorer in (SCORERS[kind], SCORERS[kind].also) if scorer is not None]
    for scorer in there:
        if key in (None, scorer.key):
            return scorer
    names = " and ".join(scorer.key for scorer in there)
    raise TestbedError(f"--score: there is no {key!r} of {kind}; there is {names}")
