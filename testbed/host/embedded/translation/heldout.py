"""The held-out sentences: found in the packages by their hashes, so that the repository holds none of them.

``weights/translation/heldout.txt`` has a line for each: the hash of the English sentence, that of the German
one, and the source. No model of the ladder was trained on a pair of which either side is among them, nor on
one that shares half or more of its word 4-grams with one of them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from testbed.host.embedded.ladder import WEIGHTS
from testbed.host.embedded.translation.blocks import Pair
from testbed.host.embedded.translation.clean import sentence_pairs
from testbed.host.embedded.translation.packages import fetch_packages
from testbed.host.embedded.translation.sources import segments
from testbed.host.processes.reporting import Report, silent

HELD_OUT = WEIGHTS / "translation" / "heldout.txt"


class HeldOut(NamedTuple):
    """What the repository knows of a held-out sentence."""

    english: str
    german: str
    source: str


def digest(text: str) -> str:
    """The hash of a sentence's words, 64 bits in hexadecimal; case, numbers and punctuation do not matter."""
    words = re.findall(r"[^\W_]+", re.sub(r"\d+", "0", text.lower()))
    return hashlib.sha256(" ".join(words).encode()).hexdigest()[:16]


@cache
def held_out() -> tuple[HeldOut, ...]:
    """The held-out sentences, in the order that data sets number them by."""
    lines = HELD_OUT.read_text(encoding="ascii").splitlines()
    return tuple(HeldOut(*line.split(" ")) for line in lines)


def find_held_out(pairs: Iterable[Pair]) -> dict[int, Pair]:
    """The held-out sentences among ``pairs`` by their number; the first of like ones counts."""
    numbers = {(entry.english, entry.german): number for number, entry in enumerate(held_out())}
    english_sides = {entry.english for entry in held_out()}
    found: dict[int, Pair] = {}
    for english, german in pairs:
        first = digest(english)
        if first in english_sides and (number := numbers.get((first, digest(german)))) is not None:
            found.setdefault(number, (english, german))
    return dict(sorted(found.items()))


def prepare_held_out(report: Report = silent) -> Path:
    """The file of held-out sentences that Debian's packages have, JSON Lines; it is made the first time.

    Each line is ``{"number": …, "english": …, "german": …}``.

    Raises:
        TestbedError: the packages cannot be had.
    """
    packages = fetch_packages(report)
    code = (
        Path(__file__).with_name(f"{name}.py") for name in ("blocks", "clean", "heldout", "roff", "sources")
    )
    made_by = hashlib.sha256(b"".join(path.read_bytes() for path in (*code, HELD_OUT))).hexdigest()[:12]
    target = packages.with_name(f"{packages.name}-{made_by}.jsonl")
    if not target.is_file():
        report("looking for the held-out sentences in the packages; done once")
        found = find_held_out(
            pair for segment in segments(packages) for pair in sentence_pairs(segment.english, segment.german)
        )
        report(f"{len(found)} of {len(held_out())} held-out sentences are in the packages")
        rows = (
            {"number": number, "english": english, "german": german}
            for number, (english, german) in found.items()
        )
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        scratch = target.with_suffix(f".{os.getpid()}")
        scratch.write_text(lines, encoding="utf-8")
        scratch.rename(target)
    return target


def without_held_out(pairs: Iterable[Pair]) -> list[Pair]:
    """The pairs of which neither side is held out: what may be trained on."""
    english_sides = {entry.english for entry in held_out()}
    german_sides = {entry.german for entry in held_out()}
    return [
        (english, german)
        for english, german in pairs
        if digest(english) not in english_sides and digest(german) not in german_sides
    ]
