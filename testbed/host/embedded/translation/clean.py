"""Pairs of paragraphs as clean pairs of sentences: plain quotation marks, one sentence each, plausible."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from testbed.host.embedded.translation.blocks import Pair, words

_PLAIN = str.maketrans(
    dict.fromkeys("„“”»«‟", '"')
    | dict.fromkeys("‚‘’›‹´", "'")
    | dict.fromkeys("–—−‐‑", "-")
    | {"…": "..."}
    | dict.fromkeys("\u00a0\u202f\u2009", " ")
    | dict.fromkeys("\u200b\u00ad\ufeff\u2060", "")
)
_SENTENCE_END = re.compile(r"([.!?]+[\"')\]]*)\s+(?=[\"'(\[]?[A-ZÄÖÜ0-9])")
_INITIAL = re.compile(r"\d{1,2}|[a-z]|(?:[a-zäö]\.)+[a-zäö]")
_ABBREVIATIONS = words(
    "z.b d.h u.a o.ä u.ä bzw usw etc ca vgl evtl ggf inkl exkl nr bsp abb kap abs str dr prof hrsg max min"
    " i.d.r s.o s.u e.g i.e vs fig cf no vol ed eq sec st mr mrs ms inc jr approx resp engl dt sog bspw allg"
    " mind std sek u.s.w etw jmd jdm jdn sth sb"
)
_ENGLISH = words(
    "the of and to is for with that this are be by from or you can it has which your if when used then than"
    " have its other only there they these those should must does"
)
_GERMAN = words(
    "der das und zu ist für mit dass den dem ein eine einen einer wird werden nicht sie von auf im des oder"
    " sich als wenn kann können aus zum zur bei durch nach ob sind es keine dieser diese dieses ihre ihr wie"
    " auch nur über mehr"
)
_WORD = re.compile(r"[^\W\d_]+")
_PLACEHOLDER = re.compile(
    r"%(?:\d+\$)?[-+ #0]*\d*(?:\.\d+)?[a-zA-Z]|%\d+|\{[^}]*\}|\$\(?\w+\)?|\\\w|<[^>]+>|@\w+@|\$\[?\w+"
)
LONGEST = 450
"""A paragraph of more characters is used only where it falls into as many sentences in both languages."""


def normalise(text: str) -> str:
    """``text`` with plain quotation marks, dashes and spaces, without the bullet or number before it."""
    text = unicodedata.normalize("NFC", text).translate(_PLAIN)
    text = re.sub(r"``|''", '"', text)
    text = re.sub(r"(?<!\w)`([^`'\"]+)'", r"'\1'", text)
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r"\s+([,.;:!?)])(?=\s|$)", r"\1", text)
    text = re.sub(r"\(\s+", "(", text)
    return re.sub(r"^(?:[*•·-]|\(?\d+[.)]|\d+(?:\.\d+)+\.?)\s+", "", text)


def sentences(text: str) -> list[str]:
    """The sentences of a paragraph; abbreviations and initials end none."""
    found, start = [], 0
    for end in _SENTENCE_END.finditer(text):
        last_word = text[start : end.start()].split(" ")[-1].lower().lstrip("(\"'[")
        if end[1][0] == "." and (last_word in _ABBREVIATIONS or _INITIAL.fullmatch(last_word)):
            continue
        found.append(text[start : end.end(1)])
        start = end.end()
    return [sentence for sentence in (*found, text[start:]) if sentence]


def sentence_pairs(english: str, german: str) -> Iterator[Pair]:
    """The pairs of sentences in a pair of paragraphs; the whole pair where they do not match one by one."""
    english, german = normalise(english), normalise(german)
    first, second = sentences(english), sentences(german)
    pairs = list(zip(first, second, strict=False))
    if len(first) == len(second) > 1 and all(0.4 < (len(b) + 10) / (len(a) + 10) < 2.5 for a, b in pairs):
        yield from pairs
    elif len(first) == len(second) == 1 or len(english) <= LONGEST:
        yield english, german


def plausible(english: str, german: str) -> bool:
    """Whether a pair may be a sentence and its translation: length, letters, numbers and words suit."""
    if not (3 <= len(english) <= 600 and 3 <= len(german) <= 700):
        return False
    ratio = (len(german) + 8) / (len(english) + 8)
    least, most = (0.55, 2.0) if len(english) > 40 else (0.45, 2.3)
    if not least < ratio < most:
        return False
    placeholders = [len(_PLACEHOLDER.findall(text)) for text in (english, german)]
    if placeholders[0] != placeholders[1] or placeholders[0] > 1:
        return False
    return (
        _is_text(english)
        and _is_text(german)
        and _same_numbers(english, german)
        and _languages(english, german)
    )


def _is_text(text: str) -> bool:
    letters = sum(char.isalpha() or char == " " for char in text) / len(text)
    signs = sum(char in "=;{}<>[]_#*~^$@" for char in text)
    return (
        letters >= (0.75 if len(text) > 30 else 0.6)
        and signs <= max(2, len(text) / 25)
        and not any(char in text for char in "\\\ufffd|")
        and not re.search(r"\S{45,}", text)
    )


def _same_numbers(english: str, german: str) -> bool:
    first, second = (set(re.findall(r"\d+", text)) for text in (english, german))
    either = first | second
    if not either or len(first & second) / len(either) >= 0.5:
        return True
    return len(either) == 1 and max(map(len, either)) == 1


def _languages(english: str, german: str) -> bool:
    """Whether the one is in English and the other in German, by their most frequent words."""
    first, second = ([word.lower() for word in _WORD.findall(text)] for text in (english, german))
    if not first or not second or english.lower() == german.lower():
        return False
    own = sum(word in _ENGLISH for word in first), sum(word in _GERMAN for word in second)
    foreign = sum(word in _GERMAN for word in first), sum(word in _ENGLISH for word in second)
    if foreign[0] > own[0] or (foreign[0] == own[0] and foreign[0] >= 2):
        return False
    if foreign[1] > own[1] or (foreign[1] >= 2 and foreign[1] * 3 > own[1]):
        return False
    long_words = [word for word in second if len(word) >= 4]
    if len(long_words) >= 3 and sum(word in set(first) for word in long_words) / len(long_words) > 0.6:
        return False  # not translated
    return not (len(first) >= 6 and len(second) >= 6 and own[1] == 0)
