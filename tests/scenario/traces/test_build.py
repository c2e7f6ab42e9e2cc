"""Traces drawn on the command line, and what they are drawn for."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from testbed.errors import TestbedError
from testbed.scenario.requests import build_trace as build_scenarios
from testbed.scenario.scenario import load_scenario
from testbed.scenario.traces.build import arrivals_of, build_trace
from testbed.scenario.traces.ground import Ground, ground
from testbed.scenario.workload.datasets import DATASETS
from testbed.scenario.workload.datasets.hub import HubDataset
from testbed.scenario.workload.trace_file import Request, read_trace_file, write_trace
from tests import QUICKSTART, SCENARIOS


def drawn(count: int = 100, rate: float = 3.0, **keys: Any) -> list[Request]:
    given = {
        "dataset": "rotten_tomatoes",
        "scenario": None,
        "devices": 2,
        "seed": 1,
        "zipf": 0.0,
        "drift": None,
    }
    arrivals: dict[str, Any] = {
        key: keys.pop(key) for key in ("process", "burstiness", "period", "swing") if key in keys
    }
    process = arrivals_of({"process": "poisson", "rate": rate} | arrivals)
    return list(build_trace(ground(**{**given, **keys}), count, process)[1])


class TestBuilding:
    def test_with_the_same_settings_it_is_what_a_scenario_draws(self) -> None:
        assert drawn() == build_scenarios(load_scenario(QUICKSTART))
        assert drawn(dataset=None, scenario=QUICKSTART, devices=None) == build_scenarios(
            load_scenario(QUICKSTART)
        )

    def test_a_scenario_draws_the_same_processes(self) -> None:
        scenario = load_scenario(QUICKSTART, ["trace.arrivals={process: gamma, rate: 3, burstiness: 2}"])
        assert drawn(process="gamma", burstiness=2) == build_scenarios(scenario)

    def test_devices_have_shares_by_zipf(self) -> None:
        counts = Counter(request.device for request in drawn(2000, devices=4, zipf=1.0))
        assert [name for name, _ in counts.most_common()] == ["device1", "device2", "device3", "device4"]

    def test_a_drift_may_be_a_step(self) -> None:
        names = [request.dataset for request in drawn(200, drift="imdb=50%")]
        assert names == ["rotten_tomatoes"] * 100 + ["imdb"] * 100

    def test_a_drift_over_all_of_it_rises(self) -> None:
        names = [request.dataset for request in drawn(2000, drift="imdb")]
        quarters = [names[low : low + 500].count("imdb") for low in range(0, 2000, 500)]
        assert quarters == sorted(quarters)
        assert quarters[0] < 120
        assert quarters[3] > 380

    def test_the_header_says_what_was_asked_for(self, tmp_path: Path) -> None:
        where = ground("rotten_tomatoes", None, 3, 7, 1.0, "imdb=20%:80%")
        arrivals = arrivals_of({"process": "diurnal", "rate": 2, "period": "2h", "swing": "50%"})
        header, trace = build_trace(where, 5, arrivals)
        path = tmp_path / "trace.jsonl"
        write_trace(trace, path, header)
        assert read_trace_file(path).header == {
            "unit": "s",
            "made_by": "testbed trace build",
            "requests": 5,
            "arrivals": {"process": "diurnal", "rate": 2, "period": "7200s", "swing": "50%"},
            "datasets": ["rotten_tomatoes", "imdb"],
            "drift": "imdb=20%:80%",
            "devices": 3,
            "zipf": 1.0,
            "seed": 7,
        }


class TestRefusals:
    @pytest.mark.parametrize(
        ("keys", "words"),
        [
            ({"dataset": None}, "--dataset: give it, or --scenario, whose data set and devices are taken"),
            ({"scenario": QUICKSTART}, "--dataset: give it, or --scenario"),
            ({"dataset": "imbd"}, "--dataset: no data set 'imbd'; did you mean imdb?"),
            (
                {"dataset": None, "scenario": QUICKSTART},
                "--devices: the scenario says how many; leave it out",
            ),
            ({"devices": 0}, "--devices: 0 is not from 1 to 10,000"),
            ({"zipf": -1.0}, "--zipf: -1.0 is not from 0 (all devices alike) to 10; 1 is usual"),
            ({"drift": "imbd"}, "--drift: no data set 'imbd'; did you mean imdb?"),
            ({"drift": "rotten_tomatoes"}, "--drift: rotten_tomatoes is the trace's own data set"),
            ({"drift": "gsm8k"}, "--drift: gsm8k is for question, and rotten_tomatoes for classification"),
            (
                {"drift": "imdb=half"},
                "--drift: 'half' is not a share; write it like 1% or 0.5 %; write imdb=50%",
            ),
            ({"drift": "imdb=80%:20%"}, "--drift: 80% is after 20%; write the smaller share first"),
            ({"count": 0}, "--requests: 0 is not from 1 to 1,000,000"),
            ({"count": 1_000_001}, "--requests: 1000001 is not from 1 to 1,000,000"),
            ({"rate": 0}, "--rate: must be greater than 0, not 0"),
            (
                {"process": "pareto"},
                "--arrivals: must be 'poisson', 'gamma', 'diurnal', 'constant' or 'uniform'",
            ),
            (
                {"process": "gamma"},
                "--burstiness: is missing; say by how much gaps vary, like 3; 1 is poisson",
            ),
            ({"burstiness": 2}, "--burstiness: is for --arrivals gamma; remove it, or write that"),
            ({"process": "gamma", "burstiness": 0}, "--burstiness: must be greater than or equal to 0.01"),
            ({"process": "diurnal", "swing": "50%"}, "--period: is missing; say how long a day is, like 24h"),
            ({"process": "diurnal", "period": "24"}, "--period: '24' has no unit"),
            ({"process": "diurnal", "period": "24h", "swing": "120%"}, "--swing: '120%' is more than 100%"),
        ],
    )
    def test_each_is_one_sentence_with_its_option(self, keys: dict[str, Any], words: str) -> None:
        with pytest.raises(TestbedError) as caught:
            drawn(**keys)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_data_set_that_cannot_be_had_is_refused_before_a_file_is_begun(self, tmp_path: Path) -> None:
        imdb = DATASETS["stanfordnlp/imdb"]
        assert isinstance(imdb, HubDataset)
        gone = replace(imdb, folder=str(tmp_path))
        with pytest.raises(TestbedError, match="has no plain_text"):
            build_trace(Ground(gone, ["device1"]), 1, arrivals_of({"process": "poisson", "rate": 1}))

    def test_a_data_set_of_ones_own_comes_with_its_scenario(self, tmp_path: Path) -> None:
        (tmp_path / "mine.csv").write_text("question,label\ngood,positive\nbad,negative\n")
        text = (SCENARIOS / "smoke.yaml").read_text()
        task = "{kind: classification, dataset: {file: mine.csv, text: question, reference: label}}"
        lines = [f"task: {task}" if line.startswith("task:") else line for line in text.splitlines()]
        (tmp_path / "mine.yaml").write_text("\n".join(lines))
        trace = drawn(4, dataset=None, scenario=tmp_path / "mine.yaml", devices=None)
        assert {request.dataset for request in trace} == {"mine"}
        assert sorted(request.row for request in trace) == [0, 0, 1, 1]
