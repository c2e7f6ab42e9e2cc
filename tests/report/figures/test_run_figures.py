"""What figures draw is what the run's tables have."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from testbed.report.figures import run_data
from testbed.report.figures.figure import Figure
from testbed.report.figures.run_data import MAX_POINTS, RunData
from testbed.report.figures.run_figures import run_figures
from testbed.report.figures.style import Style
from testbed.report.theory import with_theory
from testbed.results.directory import RunDirectory
from testbed.results.run import Run, load_run
from tests import ROOT


@pytest.fixture(scope="module")
def run() -> Run:
    return load_run(ROOT / "tests" / "data" / "run-v1")


@pytest.fixture(scope="module")
def figures(run: Run) -> dict[str, Figure]:
    return {figure.name: figure for figure in run_figures(run)}


def test_there_is_one_of_each_kind(figures: dict[str, Figure]) -> None:
    assert list(figures) == [
        "network", "quality-burden", "bytes-by-cause", "time-spent", "latency", "confidences-recserve",
        "served-by", "time-line",
    ]  # fmt: skip


def test_the_bytes_of_all_causes_add_up_to_the_kernels_count(run: Run, figures: dict[str, Figure]) -> None:
    drawn = figures["bytes-by-cause"].data.groupby("method")["bytes"].sum()
    assert drawn.to_dict() == run.links.groupby("method")["frame_bytes"].sum().to_dict()


def test_a_link_is_as_wide_as_both_its_directions(run: Run, figures: dict[str, Figure]) -> None:
    for row in figures["network"].data.to_dict("records"):
        both = run.links[(run.links["link"] == row["link"]) & (run.links["method"] == row["method"])]
        assert row["up_bytes"] + row["down_bytes"] == both["frame_bytes"].sum()
        assert row["kilobytes"] * 1000 == pytest.approx(both["frame_bytes"].sum())


def test_the_parts_of_the_time_add_up_to_the_mean_latency(run: Run, figures: dict[str, Figure]) -> None:
    spent_ms = figures["time-spent"].data.groupby("method")["mean_ms"].sum()
    assert spent_ms.to_dict() == pytest.approx(run.requests.groupby("method")["latency_ms"].mean().to_dict())


def test_the_curve_of_latency_is_the_empirical_distribution(run: Run, figures: dict[str, Figure]) -> None:
    for method, curve in figures["latency"].data.groupby("method"):
        latencies_ms = run.requests.loc[run.requests["method"] == method, "latency_ms"]
        expected = stats.ecdf(latencies_ms).cdf
        assert list(curve["latency_ms"]) == list(expected.quantiles)
        assert list(curve["share"]) == pytest.approx(list(expected.probabilities))


def test_a_long_curve_is_thinned_between_its_ends() -> None:
    kept = run_data.spread(10_000, MAX_POINTS)
    assert (kept[0], kept[-1], len(kept)) == (0, 9_999, MAX_POINTS)
    assert set(np.diff(kept)) <= {33, 34}
    assert list(run_data.spread(5, MAX_POINTS)) == [0, 1, 2, 3, 4]


def test_every_decision_below_the_top_is_a_point(run: Run, figures: dict[str, Figure]) -> None:
    drawn = figures["confidences-recserve"].data
    rows = run.requests[run.requests["method"] == "recserve"]
    assert len(drawn) == sum(
        node != "cloud1" and confidence is not None
        for path, confidences in zip(rows["path"], rows["confidences"], strict=True)
        for node, confidence in zip(path, confidences, strict=True)
    )
    sent_up = drawn[drawn["decision"] == "sent up"]
    assert len(sent_up) > 0
    assert (sent_up["confidence"] < sent_up["threshold"]).all()


def test_who_answered_adds_up_to_the_answered(run: Run, figures: dict[str, Figure]) -> None:
    for method, rows in figures["served-by"].data.groupby("method"):
        found = run.summary["methods"][method]
        assert rows["answers"].sum() == found["answered"]
        assert rows["share"].sum() == pytest.approx(found["answered"] / found["requests"])


def test_the_share_passed_on_ends_at_the_runs_and_stands_beside_what_is_asked_for(run: Run) -> None:
    summary = with_theory(RunDirectory.open(run.path), run.summary)
    data = RunData(load_run(run.path))
    data.run.summary |= summary
    drawn = run_data.passed_on(data)
    assert set(drawn["method"]) == {"recserve"}  # nobody has asked cloud-only for a share
    for tier, hop in summary["methods"]["recserve"]["theory"]["hops"].items():
        line = drawn[drawn["tier"] == tier]
        assert line["share"].iloc[-1] == pytest.approx(hop["share"])
        assert set(line["share_asymptotic"]) == {hop["share_asymptotic"]}
        assert list(line["requests"]) == list(range(1, 13))
    figures = {figure.name: figure for figure in run_figures(data.run)}
    assert '"max"' in json.dumps(figures["passed-on"].spec(Style(), summary["faithful"]))


def test_a_time_line_ends_with_nothing_outstanding_and_offers_each_request_once(run: Run) -> None:
    line = run_data.time_line(RunData(run))
    last = line[line["quantity"] == "outstanding"].groupby("method").last()
    assert set(last["value"]) == {0}
    offered = line[line["quantity"] == "offered per s"]
    width_s = offered["at_s"].iloc[1] - offered["at_s"].iloc[0]
    assert (offered["value"] * width_s).sum() == pytest.approx(run.requests["request_id"].nunique(), rel=0.01)


def test_a_point_is_on_the_frontier_unless_another_is_as_cheap_and_better() -> None:
    points = {"cheap": (0.1, 0.7), "worse": (0.2, 0.6), "dear": (0.5, 0.9), "equal": (0.5, 0.9)}
    costs, scores = zip(*points.values(), strict=True)
    assert run_data.on_frontier(costs, scores) == [True, False, True, True]


@pytest.mark.parametrize("claim", ["bytes", "decisions", "quality", "latency"])
def test_a_figure_whose_verdict_is_false_is_grey_and_says_so(
    run: Run, figures: dict[str, Figure], claim: str
) -> None:
    faithful = {**run.summary["faithful"], claim: False}
    for figure in figures.values():
        spec = figure.chart(Style(), faithful).to_dict()
        doubted = claim in figure.claims
        assert (f"not valid: {claim} may not" in str(spec.get("title"))) is doubted
        assert ("#0072B2" in str(spec)) <= (not doubted)  # the first method's colour
