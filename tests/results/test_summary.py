"""A run in figures: burdens by hand, errors as wrong answers, percentiles only where there is enough."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from testbed.results.summary import summarise
from testbed.scenario.scenario import Scenario, load_scenario, with_methods
from tests.results.simulated import TEXT

FAITHFUL: Any = {"bytes": True, "decisions": True, "quality": True, "latency": True}


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    path = tmp_path / "simulated.yaml"
    path.write_text(TEXT)
    return with_methods(load_scenario(path), ["cloud-only", "recserve"])


def row(method: str, request: int, tier: str | None = "device", **changes: Any) -> dict[str, Any]:
    hops = changes.get("hop_prompt_bytes", [])
    return {
        "method": method,
        "request_id": f"r{request}",
        "device": "device1",
        "hops": ["device1-edge1", "edge1-cloud1"][: len(hops)],
        "outcome": "answered",
        "tier": tier,
        "answer": "positive",
        "reference": "positive",
        "correct": True,
        "latency_ms": 10.0 * request,
        "hop_prompt_bytes": [],
        "prompt_bytes": 100,
        "path": [],
        "hop_up_ms": [],
        "hop_down_ms": [],
        **changes,
    }


def link(method: str, **figures: int) -> dict[str, Any]:
    every = {"frame_bytes": 1000, "prompt_bytes": 0, "answer_bytes": 0, "unaccounted_bytes": 0}
    return {"method": method, **every, **figures}


def test_burden_is_what_crossed_over_what_cloud_only_sent_on_every_hop_or_once(scenario: Scenario) -> None:
    rows = [row("cloud-only", n, "cloud", hop_prompt_bytes=[100, 100]) for n in range(3)]
    rows += [row("recserve", n, hop_prompt_bytes=hops) for n, hops in enumerate([[100, 100], [100], []])]
    links = [link("cloud-only", frame_bytes=4000), link("recserve", frame_bytes=1000)]
    found = summarise(scenario, rows, links, FAITHFUL)["methods"]
    assert found["recserve"]["burden_vs_cloud_only"] == 300 / 600
    assert found["recserve"]["burden_vs_direct_cloud"] == 300 / 300
    assert found["recserve"]["frame_bytes_vs_cloud_only"] == 0.25
    assert found["cloud-only"]["burden_vs_direct_cloud"] == 2.0


def test_only_requests_that_both_answered_count_in_a_burden(scenario: Scenario) -> None:
    lost: dict[str, Any] = {"outcome": "deadline", "answer": None, "tier": None, "correct": False}
    rows = [
        row("cloud-only", 0, "cloud", hop_prompt_bytes=[50, 50]),
        row("cloud-only", 1, hop_prompt_bytes=[70], **lost),
        row("recserve", 0),
        row("recserve", 1, hop_prompt_bytes=[70]),
    ]
    found = summarise(scenario, rows, [], FAITHFUL)["methods"]
    assert found["recserve"]["burden_vs_cloud_only"] == 0.0
    assert found["cloud-only"]["errors"] == {"deadline": 1}


def test_frames_of_unequal_numbers_of_requests_are_not_divided(scenario: Scenario) -> None:
    """As of a run that ended early: 2 requests of one method weigh less than 4 of the other."""
    rows = [row("cloud-only", n, "cloud", hop_prompt_bytes=[100, 100]) for n in range(4)]
    rows += [row("recserve", n, hop_prompt_bytes=[100]) for n in range(2)]
    figures = summarise(scenario, rows, [link("cloud-only"), link("recserve")], FAITHFUL)["methods"][
        "recserve"
    ]
    assert figures["frame_bytes_vs_cloud_only"] is None
    assert "did not replay the same requests" in figures["vs_cloud_only_reason"]
    assert figures["burden_vs_cloud_only"] == 0.5


def test_the_papers_burden_counts_answers_too_and_cloud_only_as_one_hop(scenario: Scenario) -> None:
    lost: dict[str, Any] = {"outcome": "deadline", "answer": None, "tier": None, "correct": False}
    rows = [row("cloud-only", n, "cloud", prompt_bytes=92, answer="yes") for n in range(3)]
    rows += [row("recserve", n, tier, prompt_bytes=92) for n, tier in enumerate(["cloud", "edge"])]
    rows.append(row("recserve", 2, prompt_bytes=92, **lost))
    found = summarise(scenario, rows, [], FAITHFUL)["methods"]
    assert found["cloud-only"]["burden_paper_bytes"] == 3 * 2 * 95
    assert found["recserve"]["burden_paper_bytes"] == (4 + 2) * 100
    assert found["cloud-only"]["burden_paper_vs_cloud_only"] == 1.0
    assert found["recserve"]["burden_paper_vs_cloud_only"] == 600 / (2 * 2 * 95)


def test_answers_without_references_are_not_counted_as_wrong(scenario: Scenario) -> None:
    rows = [row("recserve", number, reference="", correct=False) for number in range(20)]
    figures = summarise(scenario, rows, [], FAITHFUL, judged=False)["methods"]["recserve"]
    for key in ("accuracy", "accuracy_ci", "accuracy_answered", "macro_f1", "macro_f1_ci"):
        assert figures[key] is None
    assert figures["answered"] == 20


def test_without_cloud_only_burdens_are_null_with_the_reason(scenario: Scenario) -> None:
    found = summarise(with_methods(scenario, ["recserve"]), [row("recserve", 0)], [], FAITHFUL)
    figures = found["methods"]["recserve"]
    assert figures["burden_vs_cloud_only"] is figures["frame_bytes_vs_cloud_only"] is None
    assert "top tier alone" in figures["vs_cloud_only_reason"]


def test_an_error_counts_as_wrong_and_its_time_as_endless(scenario: Scenario) -> None:
    rows = [row("recserve", n) for n in range(60)]
    rows += [row("recserve", 60 + n, outcome="deadline", answer=None, correct=False) for n in range(40)]
    random.Random(1).shuffle(rows)
    figures = summarise(scenario, rows, [], FAITHFUL)["methods"]["recserve"]
    assert figures["accuracy"] == 0.6
    assert figures["accuracy_answered"] == 1.0
    assert figures["latency_ms"]["p50"] == pytest.approx(495.0)
    assert figures["latency_ms_ci"]["p95"] is None
    assert figures["latency_ms"]["p95"] is None  # it falls among those that never came
    assert figures["latency_ms"]["p99"] is None  # 100 requests are too few


def test_an_interval_that_reaches_among_the_unanswered_has_no_upper_end(scenario: Scenario) -> None:
    rows = [row("recserve", n) for n in range(52)]
    rows += [row("recserve", 52 + n, outcome="deadline", answer=None, correct=False) for n in range(48)]
    random.Random(1).shuffle(rows)
    figures = summarise(scenario, rows, [], FAITHFUL)["methods"]["recserve"]
    low, high = figures["latency_ms_ci"]["p50"]
    assert low < figures["latency_ms"]["p50"]
    assert high is None
    answered = [found for found in rows if found["outcome"] == "answered"]
    low, high = summarise(scenario, answered, [], FAITHFUL)["methods"]["recserve"]["latency_ms_ci"]["p50"]
    assert low < 255 < high <= 510


def test_latency_is_compared_with_cloud_only_over_the_requests_that_both_answered(scenario: Scenario) -> None:
    rows = [row("cloud-only", n, "cloud", latency_ms=100.0 + n) for n in range(20)]
    rows += [row("recserve", n, latency_ms=70.0 + n + n % 2) for n in range(19)]
    rows.append(row("recserve", 19, outcome="deadline", answer=None, correct=False, latency_ms=9000.0))
    found = summarise(scenario, rows, [], FAITHFUL)["methods"]
    against = found["recserve"]["latency_vs_cloud_only"]
    assert against["requests"] == 19
    assert against["difference_ms"] == pytest.approx(-30 + 9 / 19)
    low, high = against["ci_ms"]
    assert -30 <= low < against["difference_ms"] < high <= -29
    assert found["recserve"]["accuracy_vs_cloud_only"]["difference"] == pytest.approx(-0.05)
    assert found["cloud-only"]["latency_vs_cloud_only"] is None


def test_made_up_answers_and_shares_by_tier_are_among_a_methods_figures(scenario: Scenario) -> None:
    at_device: dict[str, Any] = {
        "path": ["device1"], "confidences": [0.9], "thresholds": [None], "window_seqs": [0],
        "window_lengths": [1], "kept": [True], "made_up": [True], "node_answers": ["positive"],
        "lateness_ms": 0.0, "unexplained_ms": 0.0, "queue_ms": [], "inference_ms": [1.0], "own_ms": [],
    }  # fmt: skip
    found = summarise(scenario, [row("recserve", 0, **at_device)], [], FAITHFUL)["methods"]["recserve"]
    assert found["made_up_inferences"] == {"device": 1, "edge": 0, "cloud": 0}
    assert found["made_up_answers"] == {"device": 1, "edge": 0, "cloud": 0}
    assert found["offload"]["device"]["share"] == 0.0


def test_degraded_answers_are_counted_where_the_rows_tell(scenario: Scenario) -> None:
    rows = [row("recserve", n, degraded=n < 2) for n in range(5)]
    (found,) = summarise(scenario, rows, [link("recserve")], FAITHFUL)["methods"].values()
    assert (found["answered"], found["degraded"]) == (5, 2)
    (older,) = summarise(scenario, [row("recserve", 1)], [link("recserve")], FAITHFUL)["methods"].values()
    assert older["degraded"] is None


def test_a_burden_that_is_null_has_its_reason(scenario: Scenario) -> None:
    lost: dict[str, Any] = {"outcome": "deadline", "answer": None, "tier": None, "correct": False}
    rows = [row("cloud-only", 0, hop_prompt_bytes=[70], **lost), row("recserve", 0)]
    figures = summarise(scenario, rows, [], FAITHFUL)["methods"]["recserve"]
    assert figures["burden_vs_cloud_only"] is None
    assert figures["vs_cloud_only_reason"] == "no request was answered under both"
    rows = [row("cloud-only", 0, "cloud"), row("recserve", 0)]
    figures = summarise(scenario, rows, [], FAITHFUL)["methods"]["recserve"]
    assert "no prompt of theirs crossed" in figures["vs_cloud_only_reason"]


def test_bytes_missing_up_and_bytes_too_many_down_do_not_cancel(scenario: Scenario) -> None:
    links = [link("recserve", unaccounted_bytes=66), link("recserve", unaccounted_bytes=-66)]
    found = summarise(scenario, [row("recserve", 0)], links, FAITHFUL)["methods"]
    assert found["recserve"]["unaccounted_bytes"] == 132


def test_a_method_of_which_there_is_nothing_yet_is_left_out(scenario: Scenario) -> None:
    assert list(summarise(scenario, [row("cloud-only", 0)], [], FAITHFUL)["methods"]) == ["cloud-only"]


def test_time_by_cause_sums_to_the_latency_of_the_requests_of_which_all_was_recorded(
    scenario: Scenario,
) -> None:
    times: dict[str, Any] = {
        "path": ["device1", "edge1"], "confidences": [None, None], "lateness_ms": 1.0, "queue_ms": [2.0, 0.0],
        "inference_ms": [10.0, 20.0], "own_ms": [3.0, 4.0], "hop_up_ms": [31.0], "hop_down_ms": [30.0],
        "unexplained_ms": 0.5,
    }  # fmt: skip
    rows = [
        row("recserve", 0, latency_ms=101.5, **times),
        row("recserve", 1, latency_ms=900.0, **{**times, "hop_down_ms": [None]}),
        row("recserve", 2, outcome="timeout", latency_ms=9000.0, **times),
    ]
    figures = summarise(scenario, rows, [], FAITHFUL)["methods"]["recserve"]
    spent = figures["spent_ms"]
    assert figures["spent_requests"] == 1
    assert spent == {
        "lateness": 1, "queue": 2, "inference": 30, "own": 7, "hop_up": 31, "hop_down": 30, "unexplained": 0.5
    }  # fmt: skip
    assert sum(spent.values()) == 101.5
