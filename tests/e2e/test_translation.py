"""The translation ladder live, in containers: sequence-to-sequence confidence decides what goes up.

The run is on a terminal, with prices, and with expectations of which one does not hold.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from tests import ROOT
from tests.e2e.runs import COMMAND, RUN_TIMEOUT_S, check_bytes, check_prompt_bytes, read
from tests.report.terminal import Screen, Terminal, on_terminal

pytestmark = pytest.mark.docker

BETA = 0.5


PRICES = {
    "device": {"prompt": 1e-6, "generated": 2e-6, "cpu": 0.1},
    "edge": {"prompt": 3e-6, "generated": 6e-6, "cpu": 0.2},
    "cloud": {"prompt": 5e-6, "generated": 10e-6, "cpu": 0.4},
}
"""In $, of a token and of a CPU second."""
UNMET = "recserve.cost_per_request<0.000000001"


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Terminal, list[str]]:
    out = tmp_path_factory.mktemp("translation") / "run"
    arguments = ["--requests=20", "--methods=cloud-only,recserve", "--set=replay.mode=lockstep"]
    for tier, price in PRICES.items():
        tokens = f"prompt: {1e6 * price['prompt']:g} $/Mtok, generated: {1e6 * price['generated']:g} $/Mtok"
        arguments.append(f"--set=tiers.{tier}.price={{{tokens}, cpu: {3600 * price['cpu']:g} $/h}}")
    arguments += ["--expect=faithful.bytes==true", f"--expect={UNMET}", f"--out={out}"]
    views: list[str] = []

    def note(screen: Screen, _: int) -> None:
        if "answered by" in screen.text:
            views.append(screen.text)

    command = [*COMMAND, "run", str(ROOT / "scenarios" / "translation.yaml"), *arguments]
    return out, on_terminal(command, 120, 50, meanwhile=note, timeout_s=RUN_TIMEOUT_S), views


@pytest.fixture(scope="module")
def finished(terminal: tuple[Path, Terminal, list[str]]) -> Path:
    return terminal[0]


def test_what_was_not_as_expected_is_told_last_with_what_was_found(
    terminal: tuple[Path, Terminal, list[str]],
) -> None:
    out, ran, _ = terminal
    assert ran.status == 1
    found = read(out, "summary.json")["methods"]["recserve"]["cost_per_request"]
    sentence = f"testbed: --expect {UNMET}: it is {found!r}"
    assert ran.screen.text.rstrip().replace("\n", "").endswith(sentence)


def test_a_view_was_there_meanwhile_and_is_gone(terminal: tuple[Path, Terminal, list[str]]) -> None:
    out, ran, views = terminal
    (link,) = {row["link"] for row in read(out, "links.parquet") if row["link"].startswith("edge")}
    last = views[-1]
    assert "recserve: replaying 20 requests (method 2 of 2)" in last
    for words in ("answered by  device ", "thresholds  device1 0.", "ms on average", link):
        assert words in last
    assert "answered by" not in ran.screen.text
    assert "\x1b[?25l" not in ran.written


def test_every_tier_that_inferred_costs_its_tokens_and_cpu_seconds(finished: Path) -> None:
    """By hand, from the tables: the tokens of all nodes on each path, and each node's CPU."""
    requests, tiers = read(finished, "requests.parquet"), read(finished, "tiers.parquet")
    for name, figures in read(finished, "summary.json")["methods"].items():
        by_hand = dict.fromkeys(PRICES, 0.0)
        for row in tiers:
            if row["method"] == name:
                by_hand[row["tier"]] += row["cpu_seconds"] * PRICES[row["tier"]]["cpu"]
        rows = [row for row in requests if row["method"] == name]
        for row in rows:
            for node, read_, made in zip(
                row["path"], row["prompt_tokens"], row["generated_tokens"], strict=True
            ):
                price = PRICES[node.rstrip("12")]
                relays = name == "cloud-only" and node != "cloud1"
                assert (read_ is None, made is None) == (relays, relays)
                if not relays:
                    by_hand[node.rstrip("12")] += read_ * price["prompt"] + made * price["generated"]
        assert figures["cost_by_tier"] == pytest.approx(by_hand)
        assert figures["cost"] == pytest.approx(sum(by_hand.values()))
        assert figures["cost_per_request"] == pytest.approx(sum(row["cost"] for row in rows) / 20)
        assert (figures["cost_unit"], figures["cost_reason"]) == ("$", None)
        # Only CPU seconds of nodes that no request reached are no request's.
        assert sum(row["cost"] for row in rows) <= figures["cost"] * (1 + 1e-9)


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
