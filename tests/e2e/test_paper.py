"""``make paper`` in short, with a network: its figures are those of the runs that it leaves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.results.run import load_run
from tests import ROOT
from tests.e2e.runs import check_bytes, wait_until_nothing_is_left

pytestmark = pytest.mark.docker
CLAIMS = "below-half,bytes-on-the-wire,savings-on-the-wire,predicted,unreachable"


def paper(out: Path) -> subprocess.CompletedProcess[str]:
    words = ("--quick", "--ladders", "classification", "--claims", CLAIMS, "--out", str(out))
    return subprocess.run(
        [sys.executable, "-m", "testbed.study.paper", *words],
        cwd=ROOT, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip


@pytest.mark.timeout(600)
def test_the_short_table_has_the_wires_figures_and_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "paper"
    done = paper(out)
    assert done.returncode == 0, done.stderr
    lines = {line["claim"]: line for line in json.loads((out / "paper.json").read_text())}
    assert lines["below-half"]["verdict"] == "reproduced"
    assert (lines["unreachable"]["verdict"], lines["unreachable"]["why"]) == (
        "not testable here",
        "left out by --quick",
    )

    point = out / "wire" / "classification-swept" / "points" / "0001"
    check_bytes(point)
    run = load_run(point)
    links, requests = run.links, run.requests
    mine = requests[requests["method"] == "recserve-0.3"]
    answers = mine["answer"].map(lambda answer: len(answer.encode()))
    texts = int(((mine["path"].str.len() - 1) * (mine["prompt_bytes"] + answers)).sum())
    frames = links.groupby("method")["frame_bytes"].sum()
    causes = lines["bytes-on-the-wire"]["values"]
    factor = causes["frames over formula"]
    assert factor["value"] == pytest.approx(frames["recserve-0.3"] / texts)
    assert factor["interval"] is None, "one seed has none"
    headers = links.loc[links["method"] == "recserve-0.3", "packet_header_bytes"].sum()
    assert causes["packet header"]["value"] == pytest.approx(headers / len(mine))
    assert causes["formula"]["value"] == pytest.approx(texts / len(mine))
    saved = lines["savings-on-the-wire"]["values"]
    assert saved["of frames"]["value"] == pytest.approx(frames["recserve-0.3"] / frames["cloud-only"])
    crossed = links.groupby("method")[["prompt_bytes", "answer_bytes"]].sum().sum(axis=1)
    assert saved["of texts"]["value"] == pytest.approx(crossed["recserve-0.3"] / crossed["cloud-only"])

    agreed = lines["predicted"]
    assert agreed["verdict"] == "reproduced", agreed["why"]
    assert agreed["values"]["counts that differ"]["value"] == 0
    assert agreed["values"]["of so many counts"]["value"] == 6 * 2 * 2  # methods, texts, hops
    assert agreed["values"]["bytes in them"]["value"] == crossed.sum()

    began = run.manifest["started_at"]
    again = paper(out)
    assert again.returncode == 0, again.stderr
    assert "all done already" in again.stderr
    assert load_run(point).manifest["started_at"] == began
    assert wait_until_nothing_is_left() == []
