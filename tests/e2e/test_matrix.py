"""A run with recorded tiers beside the run with the models: the same decisions and bytes of text."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from testbed.scenario.matrix import read_matrix
from tests import ROOT
from tests.e2e.runs import check_bytes, left_behind, read, run

pytestmark = [pytest.mark.docker, pytest.mark.models, pytest.mark.timeout(600)]
REQUESTS = 12
LOCKSTEP = ("--requests", str(REQUESTS), "--methods", "recserve", "--set", "replay.mode=lockstep")
SAME = (
    *("request_id", "outcome", "path", "kept", "window_seqs", "node_answers", "answer"),
    *("hop_prompt_bytes", "hop_answer_bytes"),
)
"""Columns of a request that a recording must not change."""
ROUNDING = 1e-5
"""By which batches may have changed a confidence."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same trace under the same method, with the embedded models and with what was recorded of them."""
    found = {}
    for name in ("quickstart", "recorded"):
        found[name] = tmp_path_factory.mktemp(name) / "run"
        done = run(found[name], *LOCKSTEP, scenario=ROOT / "scenarios" / f"{name}.yaml")
        assert done.returncode == 0, done.stderr
    return found


def test_every_request_is_decided_as_with_the_models(runs: dict[str, Path]) -> None:
    live, recorded = (read(runs[name], "requests.parquet") for name in ("quickstart", "recorded"))
    assert len(live) == REQUESTS
    assert len({len(row["path"]) for row in live}) > 1, "some were sent up, and some were not"
    for one, same in zip(live, recorded, strict=True):
        assert {name: same[name] for name in SAME} == {name: one[name] for name in SAME}
        for name in ("confidences", "thresholds"):
            assert same[name] == pytest.approx(one[name], abs=ROUNDING)


def test_the_same_bytes_of_text_cross_every_link(runs: dict[str, Path]) -> None:
    def crossed(run: Path) -> dict[Any, Any]:
        rows = check_bytes(run)
        return {(row["link"], row["direction"]): (row["prompt_bytes"], row["answer_bytes"]) for row in rows}

    assert crossed(runs["recorded"]) == crossed(runs["quickstart"])


def test_the_manifest_says_what_was_replayed(runs: dict[str, Path]) -> None:
    matrix_file = ROOT / "scenarios" / "recorded" / "rotten_tomatoes.parquet"
    matrix = read_matrix(matrix_file)
    nodes = read(runs["recorded"], "manifest.json")["nodes"]
    for node, tier in (("device1", "device"), ("device2", "device"), ("edge1", "edge"), ("cloud1", "cloud")):
        told = nodes[node]["model"]
        assert told["recordings"] == REQUESTS
        assert (told["recorded"]["sha256"], told["recorded"]["model"]) == (matrix.header.sha256, tier)
        assert nodes[node]["cgroup_anon_bytes"] < 60e6
    made_of = {name: read(runs[name], "manifest.json")["files"][1:] for name in runs}
    sha256 = hashlib.sha256(matrix_file.read_bytes()).hexdigest()
    assert [file["sha256"] for file in made_of["recorded"]] == [sha256] * 3
    assert [(file["field"], file["revision"]) for file in made_of["quickstart"]] == [
        (f"tiers.{tier}.model", matrix.header.models[tier].revision) for tier in ("device", "edge", "cloud")
    ]
    assert left_behind() == []


@pytest.mark.parametrize("name", ["quickstart", "recorded"])
def test_all_but_latency_may_be_believed(runs: dict[str, Path], name: str) -> None:
    reasons = read(runs[name], "fidelity.json")["reasons"]
    assert [reasons[verdict] for verdict in ("bytes", "decisions", "quality")] == [[], [], []]
