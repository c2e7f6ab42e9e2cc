"""Tables of theory beside measurement: what is valid, what is missing, and what stands on a line."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console, Group

from testbed.report.cells import NOT_VALID
from testbed.report.theory import NOTHING, theory_tables, with_theory
from testbed.results.directory import RunDirectory
from testbed.results.fidelity import CLAIMS
from tests import ROOT

BELIEVED: dict[str, bool] = dict.fromkeys((*CLAIMS,), True)
DEVICE: dict[str, Any] = {
    "inferences": 1000, "inference_ms": 10.0, "length_correlation": -0.31,
    "length_correlation_ci": [-0.4, -0.2], "calibration_error": 0.123, "calibration_error_by_chance": 0.02,
}  # fmt: skip
CLOUD = {**DEVICE, "inferences": 60, "calibration_error": 0.077}
HOP: dict[str, Any] = {
    "share_asymptotic": 0.3, "share_expected": 0.304, "share": 0.311, "prompt_bytes_asymptotic": 29_000.0,
    "prompt_bytes_expected": 30_400.0, "prompt_bytes": 40_100, "length_ratio": 1.29,
    "length_ratio_ci": [1.21, 1.37],
}  # fmt: skip
RECSERVE: dict[str, Any] = {
    "burden_paper_vs_cloud_only": 0.401, "burden_vs_direct_cloud": 0.399,
    "theory": {
        "hops": {"device": HOP},
        "tiers": {"device": DEVICE, "cloud": CLOUD},
        "compute": {
            "inferences_asymptotic": 1.3, "inferences_expected": 1.304, "inferences": 1.311,
            "inference_ms_asymptotic": 40.0, "inference_ms_expected": 40.4, "inference_ms": 41.7,
            "inference_ms_of_top": 100.2,
        },
        "recursion": {
            "burden_asymptotic": 0.3, "burden_expected": 0.304, "burden_with_lengths": 0.387, "burden": 0.402,
            "pays_below": 1.0, "pays_below_with_lengths": 0.775,
        },
    },
}  # fmt: skip
ALONE: dict[str, Any] = {
    "burden_paper_vs_cloud_only": 1.0,
    "theory": {"hops": {}, "tiers": {"device": DEVICE, "cloud": {**CLOUD, "inferences": 0}},
               "compute": None, "recursion": None},
}  # fmt: skip


def printed(methods: dict[str, Any], width: int = 110, **doubted: bool) -> list[str]:
    out = StringIO()
    summary = {"methods": methods, "faithful": {**BELIEVED, **doubted}}
    Console(file=out, width=width).print(Group(*theory_tables(summary)))
    return out.getvalue().splitlines()


def line(lines: list[str], *words: str) -> str:
    (found,) = [line for line in lines if all(word in line for word in words) and "│" in line]
    return found


def test_a_hop_and_a_method_have_a_line_each_in_110_columns() -> None:
    lines = printed({"a-long-method-1": RECSERVE, "device-only": ALONE})
    assert max(map(len, lines)) <= 110
    hop = line(lines, "a-long-method-1", "device", "0.300 / 0.304 / 0.311")
    assert "30.4 / 40.1" in hop
    assert "1.29 [1.21, 1.37]" in hop
    recursion = line(lines, "a-long-method-1", "1.30 / 1.31")
    for cell in ("40.4 / 41.7 / 100.2", "0.300 / 0.387 / 0.401", "1.000 / 0.775", "yes / yes"):
        assert cell in recursion


def test_what_tells_nothing_of_a_method_is_not_printed() -> None:
    lines = printed({"device-only": ALONE})
    text = "\n".join(lines)
    assert "prompts on each hop" not in text
    assert "does recursion pay" not in text
    assert "Confidences" in text
    assert "cloud" not in text  # it made no inference
    assert theory_tables({"methods": {}, "faithful": BELIEVED}) == []


def test_methods_whose_tier_has_the_same_confidences_share_a_line() -> None:
    lines = printed({"recserve": RECSERVE, "device-only": ALONE})
    shared = line(lines, "recserve, device-only")
    assert "device" in shared
    assert "-0.31 [-0.40, -0.20]" in shared
    assert "0.123" in shared
    assert "0.077" in line(lines, "cloud", "60")


@pytest.mark.parametrize(("measured", "pays"), [(0.999, "yes"), (1.0, "no"), (1.3, "no")])
def test_recursion_pays_where_its_burden_is_below_that_of_asking_directly(measured: float, pays: str) -> None:
    lines = printed({"recserve": {**RECSERVE, "burden_paper_vs_cloud_only": measured}})
    assert f"yes / {pays}" in line(lines, "recserve", f"{measured:.3f}")


@pytest.mark.parametrize("claim", ["bytes", "quality", "latency"])
def test_what_rests_on_a_claim_that_does_not_hold_is_never_printed(claim: str) -> None:
    figures = {
        "bytes": ["40.1", "0.402"],
        "quality": ["0.123", "0.020", "0.077"],
        "latency": ["41.7", "100.2"],
    }
    without_cloud_only = {**RECSERVE, "burden_paper_vs_cloud_only": None, "burden_vs_direct_cloud": None}
    for holds in (True, False):
        text = "\n".join(printed({"recserve": without_cloud_only}, **{claim: holds}))
        for figure in figures[claim]:
            assert (figure in text) is holds
        assert (f"{NOT_VALID}: {claim}" in text) is not holds


def test_what_a_method_does_not_ask_for_is_missing_and_what_was_measured_stands() -> None:
    hop = {**HOP, **dict.fromkeys([key for key in HOP if key.endswith(("asymptotic", "expected"))])}
    recursion = {**RECSERVE["theory"]["recursion"], "burden_asymptotic": None, "burden_with_lengths": None}
    theory = {**RECSERVE["theory"], "hops": {"device": hop}, "recursion": recursion}
    lines = printed({"casserve": {**RECSERVE, "theory": theory}})
    assert f"{NOTHING} / 40.1" in line(lines, "casserve", f"{NOTHING} / {NOTHING} / 0.311")
    assert f"{NOTHING} / yes" in line(lines, "casserve", f"{NOTHING} / {NOTHING} / 0.401")


def test_an_older_run_has_its_theory_from_its_rows_and_misses_what_they_lack() -> None:
    run = RunDirectory.open(ROOT / "tests" / "data" / "run-v1")
    older = run.read_json("summary.json")
    assert all("theory" not in figures for figures in older["methods"].values())
    summary = with_theory(run, older)
    assert list(summary["methods"]) == list(older["methods"])
    lines = printed(summary["methods"])
    hop = line(lines, "recserve", "device", "0.500 / 0.372 / 0.583")
    assert hop.count(NOTHING) == 2  # expected bytes and the ratio of lengths rest on the prompts' lengths
    assert "0.714" in line(lines, "recserve", "yes / yes")
    assert with_theory(run, summary) == summary


def test_a_summary_that_has_its_theory_is_taken_as_it_is() -> None:
    run = RunDirectory.open(ROOT / "tests" / "data" / "run-v1")
    summary = {"methods": {"recserve": RECSERVE}, "faithful": BELIEVED}
    assert with_theory(run, summary) == summary
