"""A ladder without a recording is recorded once, with another cloud beside it where it has one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from testbed.console import Reporter
from testbed.scenario.scenario import load_scenario
from testbed.study.paper.claims import CLAIMS, Grid
from testbed.study.paper.ladders import EMBEDDED, HUB, OTHER_CLOUD, Ladder, recorded
from testbed.study.paper.lines import line_of
from testbed.study.paper.on_ladder import OnLadder
from testbed.study.paper.options import HUB_LADDERS, Options, ladders_named
from testbed.study.paper.phases import Phases

MODELS = """
from tiers.models.base import Model, Output


class Reader(Model):
    \"\"\"Knows some words of a good film; the more, the longer its list.\"\"\"

    words = ("good",)

    def infer(self, text):
        good = sum(word in text for word in self.words)
        return Output("positive" if good else "negative", logits=[0.3 + len(text) / 500, good / 2])


class Better(Reader):
    words = ("good", "fun", "love", "best")


class Best(Reader):
    words = ("good", "fun", "love", "best", "film", "well", "great", "moving", "funny", "heart")


class Other(Reader):
    words = ("great", "funny", "moving")
"""
SCENARIO = """
name: read
task: {kind: classification, dataset: rotten_tomatoes, labels: [negative, positive]}
tiers:
  - {name: device, nodes: 1, model: {kind: "models.py:Reader"}, cpus: 0.5, memory: 256MiB}
  - {name: edge,   nodes: 1, model: {kind: "models.py:Better"}, cpus: 0.5, memory: 256MiB}
  - {name: cloud,  nodes: 1, model: {kind: "models.py:Best"}, cpus: 0.5, memory: 256MiB}
links:
  - {name: access, between: [device, edge]}
  - {name: core, between: [edge, cloud]}
methods: [{name: recserve, beta: 0.3}]
trace: {requests: 10, arrivals: {process: poisson, rate: 1}, seed: 1}
"""


@pytest.fixture
def ladder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ladder:
    monkeypatch.setenv("TESTBED_CACHE", str(tmp_path / "cache"))
    (tmp_path / "models.py").write_text(MODELS)
    (tmp_path / "read.yaml").write_text(SCENARIO)
    return Ladder("read", tmp_path / "read.yaml", rows=200)


def test_it_is_recorded_once_and_its_other_cloud_takes_the_clouds_place(
    ladder: Ladder, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found = recorded(ladder, tmp_path / "first", None, "cpu", Reporter())
    assert (found.requests, list(found.tiers), found.has_other_cloud) == (
        200,
        ["device", "edge", "cloud"],
        False,
    )
    assert "recording 200 rows" in capfd.readouterr().err
    again = recorded(ladder, tmp_path / "second", None, "cpu", Reporter())
    assert "taking the recording of an earlier call" in capfd.readouterr().err
    assert again.matrix.read_bytes() == found.matrix.read_bytes()
    recorded(ladder, tmp_path / "third", 60, "cpu", Reporter())
    assert "recording 60 rows" in capfd.readouterr().err

    other = replace(ladder, other_cloud=f"{tmp_path}/models.py:Other")
    options = Options(tmp_path / "out")
    options.out.mkdir()
    on = OnLadder(other, options, Phases(options.out), Reporter())
    on.record()
    (claim,) = (claim for claim in CLAIMS if claim.name == "cloud-model")
    assert isinstance(claim.evidence, Grid)
    assert on.found is not None, on.lacking
    assert on.tiers(claim.evidence) == f"device,edge,cloud={OTHER_CLOUD}"
    line = line_of(replace(claim, rising=False), on)
    assert set(line.values) == {"burden", "difference", "over lots"}, line.why


def test_each_ladder_names_a_scenario_that_is_one() -> None:
    for ladder in (*EMBEDDED, *HUB):
        assert len(load_scenario(ladder.scenario).tiers) == 3
    assert [ladder.name for ladder in ladders_named(None, hub=True)] == HUB_LADDERS.split(",")
    assert ladders_named(None, hub=False) == list(EMBEDDED)
