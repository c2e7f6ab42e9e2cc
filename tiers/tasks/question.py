"""A question with a short answer: a number, or a few words."""

from __future__ import annotations

import re
import string
from decimal import Decimal

from tiers.tasks.base import TEXT, Task

MARKER = "####"
"""Behind it stands the final answer, as in GSM8K."""
_NUMBER = re.compile(r"(?:(?<![\w)])-)?\$?(?:[0-9][0-9,]*(?:\.[0-9]+)?|\.[0-9]+)%?")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


class Question(Task):
    """A question, judged by exact match of the final answer.

    The final answer is what follows the last ``####``, or else all that was said. If the reference's is a
    number, the answer's is the last number in its own, and both must have the same value: commas, ``$``,
    ``%`` and how many decimals are written do not count. GSM8K's own code (Cobbe et al., arXiv:2110.14168)
    compares what follows ``####`` without commas; to take the last number where there is no marker is the
    "flexible" reading of evaluation harnesses. Otherwise both must be the same words by SQuAD's
    normalisation (Rajpurkar et al., EMNLP 2016): small letters, no punctuation, no articles, single spaces.
    """

    template = (
        f"Answer the question. End with {MARKER} and the final answer alone.\n\nQuestion: {TEXT}\nAnswer:"
    )
    scorer = "exact_match"
    judges = True

    def score(self, answer: str, reference: str) -> float:
        said, right = final(answer), final(reference)
        expected = number(right)
        if expected is None:
            return float(words(said) == words(right))
        found = _NUMBER.findall(said)
        return float(bool(found) and number(found[-1]) == expected)


def final(text: str) -> str:
    """What follows the last marker; all of the text where there is none."""
    return text.rpartition(MARKER)[2].replace("\N{MINUS SIGN}", "-").strip()


def number(text: str) -> Decimal | None:
    """The value of a text that is a number, perhaps with a full stop behind it; ``None`` for any other."""
    if not _NUMBER.fullmatch(text := text.removesuffix(".")):
        return None
    return Decimal(re.sub(r"[,$%]", "", text))


def words(text: str) -> str:
    """A text as SQuAD's evaluation compares it.

    Of a text that is articles or punctuation alone, such as the choice "A", something stays: else no answer
    at all would be as good.
    """
    small = text.lower()
    plain = small.translate(_PUNCTUATION)
    found = (" ".join(form.split()) for form in (_ARTICLES.sub(" ", plain), plain, small))
    return next(filter(None, found), "")
