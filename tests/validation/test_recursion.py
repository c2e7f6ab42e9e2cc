"""RecServe from recorded translations: the rule decides, and the control has the same shares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from testbed.errors import TestbedError
from testbed.host.embedded.translation.ladder import SIZES
from testbed.host.embedded.translation.translate import Translation, write_recorded
from testbed.results.quality import bleu_counts
from testbed.scenario.workload.datasets import Example
from testbed.validation import recursion
from testbed.validation.recursion import Recorded, compare, served_levels
from tests.host.embedded.translation.small_packages import sentence_pairs

REFERENCES = [german for _, german in sentence_pairs()] * 4


def recorded(informed: bool) -> Recorded:
    """Three tiers with more and more right answers; confidence is of the answer's quality, or of chance."""
    chance = np.random.default_rng(5)
    counts, confidences = [], []
    for share in (0.3, 0.6, 0.9):
        right = chance.random(len(REFERENCES)) < share
        wrong = "Ein ganz anderer Satz ohne Sinn."
        answers = [reference if good else wrong for reference, good in zip(REFERENCES, right, strict=True)]
        counts.append(bleu_counts(answers, REFERENCES))
        confidences.append(chance.random(len(REFERENCES)) * 0.5 + 0.5 * (right if informed else 0.5))
    sizes = chance.integers(20, 200, len(REFERENCES))
    return Recorded(np.array(counts), np.array(confidences), sizes)


@pytest.mark.parametrize("beta", [0.1, 0.5])
def test_each_request_is_served_where_the_rule_says(beta: float) -> None:
    given = recorded(informed=True)
    seen: list[list[float]] = [[], []]
    expected = []
    for request in range(len(REFERENCES)):
        level = 0
        while level < 2:
            seen[level].append(given.confidences[level, request])
            if len(seen[level]) < 2 or seen[level][-1] >= np.percentile(seen[level], 100 * beta):
                break
            level += 1
        expected.append(level)
    assert served_levels(given, beta).tolist() == expected


def test_a_confidence_that_knows_beats_chance_and_one_that_does_not_equals_it() -> None:
    knowing, blind = compare(recorded(informed=True), 0.5), compare(recorded(informed=False), 0.5)
    assert sum(knowing.served_by) == len(REFERENCES)
    assert knowing.difference.low > 5
    assert knowing.recserve - knowing.control == pytest.approx(np.mean(knowing.difference), abs=2)
    assert blind.difference.low < 0 < blind.difference.high


def test_recorded_answers_are_read_in_one_order_and_a_lack_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = sentence_pairs()[:12]
    examples = tuple(Example(row, *pair) for row, pair in enumerate(pairs))
    monkeypatch.setattr(recursion, "load", lambda _name, _split: examples)
    with pytest.raises(
        TestbedError, match=r"device\.jsonl: no recorded answers .* evaluate translation --record"
    ):
        recursion.read(tmp_path)
    for name in SIZES:
        made = [Translation(german, -0.1 * number) for number, (_, german) in enumerate(pairs)]
        write_recorded(tmp_path / f"{name}.jsonl", [english for english, _ in pairs], made)
    read = recursion.read(tmp_path)
    assert read.counts.shape == (3, 12, 10)
    assert sorted(read.prompt_bytes) == sorted(len(english.encode()) for english, _ in pairs)
    write_recorded(tmp_path / "edge.jsonl", [pairs[0][0]], [Translation(pairs[0][1], -1.0)])
    with pytest.raises(TestbedError, match=r"edge\.jsonl: lacks sentences of debian_en_de"):
        recursion.read(tmp_path)
