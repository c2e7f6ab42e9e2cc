"""Methods that are calibrated before the run, on real links with real servers."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from testbed.console import Reporter
from testbed.orchestrator.method import run_method
from testbed.results.audit import audit
from testbed.results.summary import summarise
from testbed.scenario.scenario import load_scenario
from tests import SCENARIOS
from tests.orchestrator.emulation import emulated

pytestmark = pytest.mark.root
QUICK = [
    *(f"links.{link}.delay=0ms" for link in ("access", "core")),
    *(f"tiers.{tier}.model.service=0ms" for tier in ("device", "edge", "cloud")),
    "calibration.rows=200",
]
REQUESTS = 200
BY_ACCURACY = {"accuracy": 0.7, "confidence": 0.9}


def test_every_method_at_equal_share_is_audited_from_what_the_nodes_recorded(tmp_path: Path) -> None:
    """The repository's scenario of all methods, with models that are quick, on real links and servers."""
    scenario = load_scenario(SCENARIOS / "methods.yaml", QUICK, requests=REQUESTS)
    casserve = next(method for method in scenario.methods if method.policy == "casserve")
    by_accuracy = casserve.model_copy(update={"name": "by-accuracy", "calibrate": BY_ACCURACY})
    scenario = scenario.model_copy(update={"methods": (*scenario.methods, by_accuracy)})
    with emulated(scenario, tmp_path / "run", Reporter(Console(quiet=True))) as session:
        counts = [counts for link in session.network.links for counts in link.counts().values()]
        assert {count.crossed_frames for count in counts} == {0}, "the calibration crossed a link"
        results = [run_method(session, method, lambda *_: None) for method in scenario.methods]
        calibration, answers = session.directory.read_calibration(), session.directory.read_answers()
    rows = [row for result in results for row in result.requests]
    found = audit(scenario, rows, calibration, answers)
    assert found.differences == ()
    assert found.decisions > 8 * REQUESTS
    assert calibration is not None
    assert len(calibration["rows"]) == 200
    summary = summarise(scenario, rows, [row for result in results for row in result.links], {})
    for name, figures in summary["methods"].items():
        assert figures["answered"] == REQUESTS
        assert figures["accuracy"] <= summary["methods"]["oracle"]["accuracy"]
        if name not in ("cloud-only", "by-accuracy", "oracle"):
            assert figures["offload"]["device"]["share"] == pytest.approx(0.3, abs=0.1), name
    budget = summary["methods"]["budget"]["offload"]["device"]
    assert budget["share"] == pytest.approx(0.3, abs=2 * 4 / REQUESTS)  # by either device
    assert budget["share_asked"] == summary["methods"]["colserve"]["offload"]["device"]["share_asked"] == 0.3
    given = calibration["methods"]
    assert given["casserve"] == given["static-quantile"]
    first = [row for row in rows if row["method"] == "prefilled" and row["window_seqs"][0] == 0]
    assert {row["window_lengths"][0] for row in first} == {201}
    longest = {
        row["request_id"]: row["prompt_bytes"]
        for row in rows
        if row["method"] == "length-router" and row["hops"]
    }
    crossed = {row["request_id"]: row["hop_prompt_bytes"][0] for row in rows if row["method"] == "cloud-only"}
    assert all(crossed[name] == length > 142 for name, length in longest.items())
