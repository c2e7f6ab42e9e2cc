"""The envelope is searched with real runs, and what each showed is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from testbed.console import Reporter
from testbed.report.checks import envelope_table
from testbed.results.fidelity import CLAIMS
from testbed.scenario.scenario import Scenario
from testbed.validation.envelope import Quantity, envelope, quantities


def alone(rate_per_s: int) -> Scenario:
    """One tier and no link: a run of it takes seconds."""
    model = {"kind": "recorded", "service": "1ms"}
    return Scenario.model_validate(
        {
            "name": "alone",
            "task": {"kind": "classification", "dataset": "rotten_tomatoes"},
            "tiers": [{"name": "device", "model": model, "cpus": 0.5, "memory": "128MiB"}],
            "methods": [{"name": "device-only"}],
            "trace": {"requests": 10, "arrivals": {"process": "uniform", "rate": rate_per_s}},
        }
    )


@pytest.mark.docker
@pytest.mark.alone
def test_real_runs_are_searched_and_kept(tmp_path: Path) -> None:
    out = tmp_path / "envelope"
    envelope(120, out, Reporter(), [Quantity("requests a second", 8, 16, alone)])
    found = json.loads((out / "envelope.json").read_text())
    trials = [(trial["value"], trial["directory"]) for trial in found["trials"]]
    assert trials[:2] == [(8, "requests-8"), (16, "requests-16")]
    brackets = {one["claim"]: one for one in found["brackets"]["requests a second"]}
    for claim in ("bytes", "decisions", "quality"):  # latency is for the machine to say
        assert (brackets[claim]["holds"], brackets[claim]["fails"]) == (16, None)
    assert json.loads((out / "manifest.json").read_text())["status"] == "finished"
    assert (out / "requests-16" / "fidelity.json").is_file()


def test_what_is_searched_can_be_run_at_every_value() -> None:
    for quantity in quantities():
        for value in (1, quantity.start, quantity.most):
            scenario = quantity.scenario(value)
            assert scenario.links[0].delay_ms == 10
            assert scenario.trace.requests


def test_the_table_says_what_held_and_what_ended_it() -> None:
    rows = [{"claim": claim, "holds": 64, "fails": None, "reason": ""} for claim in CLAIMS[:3]]
    rows.append({"claim": "latency", "holds": 32, "fails": 40, "reason": "[busy] for 97% of the time"})
    found = {"brackets": {"devices": rows}, "trials": [{}, {}]}
    console = Console(width=120)
    with console.capture() as captured:
        console.print(envelope_table(found))
    shown = captured.get()
    assert "2 runs" in shown
    assert "[busy] for 97% of the time" in shown
