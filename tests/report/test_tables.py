"""What is printed of a run: figures that are valid, words as they are, reasons beside verdicts."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from testbed.report.cells import NOT_VALID
from testbed.report.tables import (
    CAUSES,
    comparison_table,
    cost_tables,
    links_table,
    methods_table,
    offload_tables,
    tiers_table,
    times_table,
    verdicts,
)
from testbed.report.way import sample_way
from testbed.results.fidelity import CLAIMS
from testbed.results.scorers import SCORERS
from testbed.scenario.workload.trace_file import Request

ACCURACY, BLEU = SCORERS["classification"], SCORERS["sequence-to-sequence"]

FIGURES: dict[str, Any] = {
    "accuracy": 0.8, "accuracy_ci": [0.7, 0.9], "served_by": {"device": 9, "cloud": 1}, "errors": {},
    "latency_ms": {"p50": 123.4, "p95": None, "p99": None},
    "latency_ms_ci": {"p50": [110.0, None], "p95": None, "p99": None},
    "prompt_bytes": 1000, "frame_bytes": 5000, "burden_vs_cloud_only": 0.5, "burden_vs_direct_cloud": None,
    "accuracy_vs_cloud_only": {"difference": -0.025, "ci": [-0.06, 0.01]},
    "latency_vs_cloud_only": {"difference_ms": -341.2, "ci_ms": [-360.0, -320.0], "requests": 10},
}  # fmt: skip


LINK: dict[str, Any] = {
    "link": "device1-edge1", "direction": "up", "prompt_bytes": 1000, "frame_bytes": 5000,
    "queue_dropped_frames": 0, "lost_frames": 0,
}  # fmt: skip
BELIEVED: dict[str, bool] = dict.fromkeys((*CLAIMS,), True)


@pytest.mark.parametrize("valid", [True, False])
def test_a_latency_that_is_not_valid_is_never_printed(valid: bool) -> None:
    faithful = {**BELIEVED, "latency": valid}
    text = printed(comparison_table({"faithful": faithful, "methods": {"recserve": FIGURES}}, ACCURACY), 110)
    assert ("123 [110, ∞]" in text) is valid
    assert ("-341 [-360, -320]" in text) is valid
    assert (NOT_VALID in text) is not valid
    assert "-0.025 [-0.060, +0.010]" in text


def test_costs_are_printed_by_tier_and_what_is_not_known_has_its_reason() -> None:
    known = {
        "cost": 0.0123456, "cost_by_tier": {"device": 0.01, "cloud": 2.3457e-5}, "cost_per_request": 0.000123,
        "cost_per_request_ci": [0.0001, 0.00015], "cost_unit": "$", "cost_reason": None,
    }  # fmt: skip
    nothing = dict.fromkeys(("cost", "cost_per_request", "cost_per_request_ci"))
    reason = "cloud: its model counts no tokens"
    unknown = {**known, **nothing, "cost_by_tier": {"device": 0.01, "cloud": None}, "cost_reason": reason}
    (table,) = cost_tables({"methods": {"all": known, "some": unknown}}, ["device", "cloud"])
    text = printed(table, 110)
    assert "$ per 1,000 requests [95 % CI]" in text
    assert "0.123 [0.1, 0.15]" in text
    assert "0.01235" in text
    assert "0.00002346" in text
    assert f"-: some: {reason}" in text
    assert cost_tables({"methods": {"all": FIGURES}}, ["device", "cloud"]) == []


@pytest.mark.parametrize("valid", [True, False])
def test_a_quality_that_is_not_valid_is_never_printed(valid: bool) -> None:
    summary = {"faithful": {**BELIEVED, "quality": valid}, "methods": {"recserve": FIGURES}}
    achieved, compared = (
        printed(methods_table(summary, ["device", "cloud"], ACCURACY)),
        printed(comparison_table(summary, ACCURACY)),
    )
    assert ("0.800 [0.700, 0.900]" in achieved) is valid
    assert ("-0.025 [-0.060, +0.010]" in compared) is valid
    assert "123 [110, ∞]" in compared
    for text in (achieved, compared):
        assert (NOT_VALID in text) is (f"{NOT_VALID}: quality" in text) is not valid


@pytest.mark.parametrize("valid", [True, False])
def test_of_bytes_that_are_not_valid_only_the_kernels_own_count_is_printed(valid: bool) -> None:
    faithful = {**BELIEVED, "bytes": valid}
    figures = {**FIGURES, "prompt_bytes": 7_700, "burden_vs_direct_cloud": 0.875}
    sent = printed(
        methods_table({"faithful": faithful, "methods": {"recserve": figures}}, ["device", "cloud"], ACCURACY)
    )
    crossed = printed(links_table([{**LINK, "method": "recserve"}], faithful))
    way = printed(sample_way(*a_way(), faithful))
    for text, figure in (
        (sent, "7.7"),
        (sent, "0.500"),
        (sent, "0.875"),
        (crossed, "1,000"),
        (way, "84 / 8"),
    ):
        assert (figure in text) is valid
        assert (NOT_VALID in text) is not valid
    for text in (sent, crossed):
        assert (f"{NOT_VALID}: bytes" in text) is not valid
    assert "5.0" in sent
    assert "5,000" in crossed


def test_methods_stand_on_a_line_each_in_110_columns() -> None:
    reason = {"vs_cloud_only_reason": "no request was answered under both"}
    summary = {"faithful": BELIEVED, "methods": {"recserve": {**FIGURES, **reason}}}
    text = printed(methods_table(summary, ["device", "cloud"], ACCURACY), 110)
    (line,) = [line for line in text.splitlines() if "recserve" in line]
    for cell in ("0.800 [0.700, 0.900]", "9/1", "1.0", "5.0", "0.500", "-"):
        assert cell in line
    assert "-: no request was answered under both" in text


OFFLOAD = {
    "decisions": 1234, "offloaded": 0, "share": 0.0, "share_asked": 0.9, "share_expected": 0.903,
    "share_untied": 0.901, "distinct_confidences": 1, "tied_at_threshold": 0.99, "largest_tie": 1.0,
}  # fmt: skip


def test_the_share_that_went_up_stands_beside_the_share_asked_for_and_ties_are_told() -> None:
    nothing = {**OFFLOAD, "decisions": 0, "share": None, "share_expected": None, "share_untied": None}
    methods = {"recserve": {"offload": {"device": OFFLOAD, "edge": nothing}}, "cloud-only": {"offload": {}}}
    (table,) = offload_tables({"methods": methods})
    text = printed(table)
    (line,) = [line for line in text.splitlines() if "device" in line and "1,234" in line]
    assert line.replace("│", " ").split() == [
        "recserve", "device", "1,234", "1", "1.000", "0.990", "0.900", "0.903", "0.000"
    ]  # fmt: skip
    assert "device sent up a share of 0.000 where β asked for 0.900, because confidences are equal" in text
    assert "cloud-only" not in text


def test_a_run_in_which_no_tier_decides_has_no_table_of_shares_and_an_older_one_neither() -> None:
    assert offload_tables({"methods": {"cloud-only": {"offload": {}}}}) == []
    assert offload_tables({"methods": {"recserve": FIGURES}}) == []


def test_answers_that_were_made_up_stand_below_the_methods() -> None:
    counts = {
        "made_up_inferences": {"device": 1021, "cloud": 0},
        "made_up_answers": {"device": 900, "cloud": 0},
    }
    summary = {"faithful": BELIEVED, "methods": {"recserve": {**FIGURES, **counts}, "older": FIGURES}}
    text = printed(methods_table(summary, ["device", "cloud"], ACCURACY))
    assert "recserve: answers made up, not a model's: device 1,021; of those 900 were returned" in text
    assert "older: answers" not in text


def test_degraded_answers_stand_below_the_methods() -> None:
    methods = {"recserve": {**FIGURES, "degraded": 31}, "sound": {**FIGURES, "degraded": 0}, "older": FIGURES}
    text = printed(methods_table({"faithful": BELIEVED, "methods": methods}, ["device", "cloud"], ACCURACY))
    assert "recserve: 31 answers degraded: a tier above could not be reached" in text
    assert text.count("degraded") == 1


def test_a_bleu_has_its_interval() -> None:
    bleu = {"bleu": 31.25, "bleu_ci": [28.0, 34.5], "bleu_vs_cloud_only": None}
    summary = {"faithful": BELIEVED, "methods": {"recserve": {**FIGURES, **bleu}}}
    assert "31.2 [28.0, 34.5]" in printed(methods_table(summary, ["device", "cloud"], BLEU))
    assert "Δ BLEU vs cloud-only" in printed(comparison_table(summary, BLEU))


@pytest.mark.parametrize(("refused", "lost"), [(0, 0), (31, 0), (0, 1)])
def test_frames_that_did_not_arrive_have_a_line_of_their_own(refused: int, lost: int) -> None:
    busy = {**LINK, "method": "cloud-only", "queue_dropped_frames": refused, "lost_frames": lost}
    text = printed(links_table([busy, {**LINK, "method": "recserve"}], BELIEVED))
    assert ("queue refused / way lost" in text) is bool(refused or lost)
    assert (f"{refused} / {lost}" in text) is bool(refused or lost)


@pytest.mark.parametrize("valid", [True, False])
def test_times_by_cause_are_printed_where_they_are_valid(valid: bool) -> None:
    spent = {cause: 1.25 + number for number, cause in enumerate(CAUSES)}
    methods = {
        "recserve": {"spent_ms": spent, "spent_requests": 197, "requests": 200},
        "device-only": {"spent_ms": None, "spent_requests": 0, "requests": 200},
    }
    text = printed(times_table({"faithful": {"latency": valid}, "methods": methods}))
    assert all((f"{ms:.2f}" in text) is valid for ms in spent.values())
    assert text.count(NOT_VALID) == (0 if valid else 2 * len(CAUSES))
    assert "197 of 200" in text


def test_a_tiers_nodes_are_summed_by_method() -> None:
    rows = [
        {
            "node": node, "tier": node[:-1], "method": "recserve", "cpu_seconds": cpu_seconds,
            "inferences": 20, "replaced_inferences": 7,
        }
        for node, cpu_seconds in (("device1", 1.25), ("device2", 0.5), ("edge1", None))
    ]  # fmt: skip
    text = printed(tiers_table(rows))
    assert "1.75 / 40 (14)" in text
    assert "- / 20 (7)" in text


def test_reasons_stand_beside_a_verdict_and_many_are_counted() -> None:
    reasons = {"bytes": [], "decisions": [], "quality": [], "latency": [f"reason {n}" for n in range(9)]}
    faithful = {claim: not found for claim, found in reasons.items()}
    text = printed(verdicts({"faithful": faithful, "reasons": reasons}))
    assert "reason 4" in text
    assert "reason 5" not in text
    assert "and 4 more in fidelity.json" in text


def test_words_of_models_and_tiers_are_printed_as_they_are() -> None:
    reasons = {"bytes": ["[/x] of the capture"], "decisions": [], "quality": [], "latency": []}
    faithful = {claim: not found for claim, found in reasons.items()}
    assert "[/x] of the capture" in printed(verdicts({"faithful": faithful, "reasons": reasons}))
    text = printed(sample_way(*a_way("[/y]"), BELIEVED))
    assert "answered [/y] by edge" in text
    assert "[/z]" in text


def test_a_way_is_shown_without_the_data_set_and_with_the_bytes_of_each_hop() -> None:
    text = printed(sample_way(*a_way(), BELIEVED))
    assert "row 815 of a_set_that_is_nowhere, test" in text
    (below,) = [line for line in text.splitlines() if "device1" in line]
    (above,) = [line for line in text.splitlines() if "edge1" in line]
    assert "84 / 8" in below
    assert "/" not in above


def a_way(answer: str = "positive") -> tuple[list[dict[str, Any]], list[Request]]:
    """A request sent up one hop, and the trace that it is of."""
    row = {
        "request_id": "r1", "method": "recserve", "outcome": "answered", "tier": "edge", "answer": answer,
        "reference": "positive", "path": ["device1", "edge1"], "hops": ["device1-edge1"],
        "node_answers": ["[/z]", answer], "confidences": [0.5, 0.9], "thresholds": [0.6, None],
        "window_seqs": [1, None], "window_lengths": [1, None], "kept": [False, True],
        "inference_ms": [1.0, 2.0], "hop_up_ms": [1.0], "hop_down_ms": [1.0],
        "hop_prompt_bytes": [84], "hop_answer_bytes": [8],
    }  # fmt: skip
    return [row], [Request("r1", 0.0, "device1", "a_set_that_is_nowhere", "test", 815)]


def printed(table: Any, width: int = 160) -> str:
    out = StringIO()
    Console(file=out, width=width).print(table)
    return out.getvalue()


def test_a_task_without_references_prints_no_quality() -> None:
    figures = {
        **{key: value for key, value in FIGURES.items() if not key.startswith("accuracy")},
        **{"quality": None, "quality_ci": None, "quality_vs_cloud_only": None},
    }
    summary = {"faithful": BELIEVED, "methods": {"recserve": figures}}
    scorer = SCORERS["generation"]
    achieved = printed(methods_table(summary, ["device", "cloud"], scorer))
    assert "quality [95 % CI]" in achieved
    assert "123 [110, ∞]" in printed(comparison_table(summary, scorer))
