"""The translation ladder live, in containers: sequence-to-sequence confidence decides what goes up."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from tests import ROOT
from tests.e2e.runs import check_bytes, check_prompt_bytes, read, run

pytestmark = pytest.mark.docker

BETA = 0.5


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("translation") / "run"
    arguments = ("--requests=20", "--methods=cloud-only,recserve", "--set=replay.mode=lockstep")
    done = run(out, *arguments, scenario=ROOT / "scenarios" / "translation.yaml")
    assert done.returncode == 0, done.stderr
    return out


def test_every_sentence_is_translated_and_all_but_latency_may_be_believed(finished: Path) -> None:
    assert {row["outcome"] for row in read(finished, "requests.parquet")} == {"answered"}
    reasons = read(finished, "fidelity.json")["reasons"]
    assert [reasons[verdict] for verdict in ("bytes", "decisions", "quality")] == [[], [], []]
    check_bytes(finished)
    check_prompt_bytes(finished)


def test_bleu_and_chrf_have_intervals_and_cloud_is_no_gibberish(finished: Path) -> None:
    methods = read(finished, "summary.json")["methods"]
    for figures in methods.values():
        for score in ("bleu", "chrf"):
            low, high = figures[f"{score}_ci"]
            assert 0 < low < figures[score] < high < 100
    assert methods["cloud-only"]["chrf"] > 50


def test_the_rule_decides_by_the_answers_perplexity(finished: Path) -> None:
    """Each node's confidences, in the order of its window, give its decisions by numpy's quantile."""
    seen: dict[str, dict[int, tuple[float, bool]]] = defaultdict(dict)
    for row in read(finished, "requests.parquet"):
        if row["method"] == "recserve":
            asked = zip(row["path"], row["window_seqs"], row["confidences"], row["kept"], strict=True)
            for node, seq, confidence, kept in asked:
                if not node.startswith("cloud"):
                    seen[node][seq] = confidence, kept
    assert set(seen) == {"device1", "device2", "edge1"}
    for decisions in seen.values():
        window: list[float] = []
        for _, (confidence, kept) in sorted(decisions.items()):
            window.append(confidence)
            assert kept == (len(window) < 2 or confidence >= np.percentile(window, 100 * BETA))
    assert any(not kept for decisions in seen.values() for _, kept in decisions.values())
