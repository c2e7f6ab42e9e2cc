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


def test_the_rule_replayed_in_the_order_of_the_trace_sends_up_the_same_sentences(finished: Path) -> None:
    """By the paper: below the β-quantile of this node's confidences, this one included; the top keeps."""
    windows: dict[str, list[float]] = defaultdict(list)
    sent_up = 0
    for row in read(finished, "requests.parquet"):
        if row["method"] != "recserve":
            continue
        way = [row["device"], "edge1", "cloud1"]
        for at, (node, confidence) in enumerate(zip(row["path"], row["confidences"], strict=True)):
            assert node == way[at]
            windows[node].append(confidence)
            threshold = float(np.percentile(windows[node], 100 * BETA))
            goes_up = node != "cloud1" and len(windows[node]) >= 2 and confidence < threshold
            assert row["kept"][at] is not goes_up
            assert (at < len(row["path"]) - 1) is goes_up
            sent_up += goes_up
        assert row["answer"] == row["node_answers"][-1]
        assert row["tier"] == way[len(row["path"]) - 1].rstrip("12")
    assert set(windows) == {"device1", "device2", "edge1", "cloud1"}
    assert sent_up > 5
