"""Comparisons pair requests, refuse what is not alike, and correct for their number."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats

from testbed.errors import TestbedError
from testbed.results.columns import REQUESTS
from testbed.results.comparable import changed
from testbed.results.compare import compare_runs
from testbed.results.directory import RunDirectory
from testbed.results.quality import macro_f1
from testbed.results.statistics import effective_size, paired_difference
from tests import ROOT

RUN = ROOT / "tests" / "data" / "run-v1"


@pytest.fixture
def copy(tmp_path: Path) -> Callable[[str], RunDirectory]:
    return lambda name: RunDirectory.open(Path(shutil.copytree(RUN, tmp_path / name)))


def edit(directory: RunDirectory, name: str, change: Callable[[Any], None]) -> None:
    path = directory.path / name
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    directory.seal()


def scored(directory: RunDirectory, key: str) -> None:
    """Let the summary have a score of that name, as that of another task has."""

    def with_score(summary: Any) -> None:
        for figures in summary["methods"].values():
            figures |= dict.fromkeys((key, f"{key}_ci", f"{key}_vs_cloud_only"))

    edit(directory, "summary.json", with_score)


def test_methods_of_a_run_are_compared_request_by_request(copy: Callable[[str], RunDirectory]) -> None:
    directory = copy("run")
    (one,) = compare_runs([directory]).compared
    rows = pq.read_table(directory.path / "requests.parquet").to_pylist()
    right = {
        name: [
            row["correct"] for row in sorted(rows, key=lambda row: row["request_id"]) if row["method"] == name
        ]
        for name in ("cloud-only", "recserve")
    }
    expected = paired_difference(right["cloud-only"], right["recserve"])
    assert (one.first, one.second, one.requests) == ("cloud-only", "recserve", 12)
    assert one.quality is not None
    assert one.quality["difference"] == pytest.approx(expected.difference)
    assert one.p_value == one.adjusted_p == pytest.approx(expected.p_value)
    summary = directory.read_json("summary.json")["methods"]
    assert one.prompt_bytes == (summary["cloud-only"]["prompt_bytes"], summary["recserve"]["prompt_bytes"])
    assert one.like_served == pytest.approx(summary["recserve"]["served_by"]["cloud"] / 12)


def test_a_run_does_not_differ_from_its_copy(copy: Callable[[str], RunDirectory]) -> None:
    found = compare_runs([copy("one"), copy("other")])
    assert [(each.first, each.second) for each in found.compared] == [
        ("one: cloud-only", "other: cloud-only"),
        ("one: recserve", "other: recserve"),
    ]
    for each in found.compared:
        assert each.quality is not None
        assert (each.quality["difference"], each.latency_ms, each.like_served) == (0, 0, 1)
    assert found.notes == ["from one to other: the same scenario"]


def test_what_differs_between_scenarios_is_said(copy: Callable[[str], RunDirectory]) -> None:
    other = copy("other")
    edit(other, "manifest.json", lambda manifest: manifest["scenario"]["tiers"][0].update(cpus=0.75))
    assert any(
        "tiers.device.cpus: " in note and "→ 0.75" in note
        for note in compare_runs([copy("one"), other]).notes
    )
    assert list(changed({"a": [{"name": "x", "b": 1}]}, {"a": [{"name": "x", "b": 2}, {"name": "y"}]})) == [
        "a.x.b: 1 → 2",
        "a.y: none → {'name': 'y'}",
    ]


def test_a_run_that_was_changed_is_refused(copy: Callable[[str], RunDirectory]) -> None:
    directory = copy("run")
    rows = directory.read_table("requests.parquet")
    directory.write_table("requests.parquet", rows[::-1], REQUESTS)
    with pytest.raises(TestbedError, match=r"run: requests\.parquet is not as the run left it"):
        compare_runs([directory])


def test_other_prompts_cannot_be_compared(copy: Callable[[str], RunDirectory]) -> None:
    other = copy("other")
    trace = other.path / "trace.jsonl"
    first, *rest = trace.read_text().splitlines()
    trace.write_text("\n".join([json.dumps({**json.loads(first), "row": 7}), *rest]) + "\n")
    other.seal()
    with pytest.raises(
        TestbedError, match=r"other did not replay the prompts of one; r\w+ is row \d+, then 7"
    ):
        compare_runs([copy("one"), other])


def test_rows_of_files_with_other_contents_are_other_prompts(copy: Callable[[str], RunDirectory]) -> None:
    one, other = copy("one"), copy("other")
    name = json.loads((one.path / "trace.jsonl").read_text().splitlines()[0])["dataset"]
    for run, digest in ((one, "ab" * 32), (other, "cd" * 32)):
        described = {"name": name, "source": {"file": "mine.csv", "sha256": digest}}
        edit(run, "manifest.json", partial(dict.update, datasets=[described]))
    with pytest.raises(TestbedError, match=rf"is row \d+ of {name}, whose files have other contents"):
        compare_runs([one, other])


def test_a_kind_of_task_by_its_name_of_before_is_the_same(copy: Callable[[str], RunDirectory]) -> None:
    runs = [copy("one"), copy("other")]

    def of_kind(kind: str, manifest: Any) -> None:
        dataset = {"file": "/gone/pairs.csv", "text": "english", "reference": "german"}
        manifest["scenario"]["task"] |= {"kind": kind, "dataset": dataset, "labels": []}
        for tier in manifest["scenario"]["tiers"]:
            tier["model"]["path"] = "/gone/recorded.jsonl"

    for run, kind in zip(runs, ("sequence-to-sequence", "translation"), strict=True):
        edit(run, "manifest.json", partial(of_kind, kind))
        scored(run, "bleu")
    same = {"difference": 0.0, "ci": [0.0, 0.0], "p_value": 1.0}
    assert [one.quality for one in compare_runs(runs).compared] == [same] * 2
    assert [one.quality for one in compare_runs(runs, score="chrf").compared] == [same] * 2


def test_runs_without_a_common_method_cannot_be_compared(copy: Callable[[str], RunDirectory]) -> None:
    other = copy("other")
    edit(other, "summary.json", lambda summary: summary.update(methods={}))
    with pytest.raises(TestbedError, match="have no method in common"):
        compare_runs([copy("one"), other])


@pytest.mark.parametrize(
    ("methods", "message"), [(["recserve"], "has recserve alone"), (["nothing"], "no method 'nothing'")]
)
def test_methods_to_compare_must_be_there_and_two(
    copy: Callable[[str], RunDirectory], methods: list[str], message: str
) -> None:
    with pytest.raises(TestbedError, match=message):
        compare_runs([copy("one")], methods)


def test_runs_of_one_name_are_told_apart_by_their_paths(
    copy: Callable[[str], RunDirectory], tmp_path: Path
) -> None:
    (one, *_) = compare_runs([copy("a/run"), copy("b/run")]).compared
    assert (one.first, one.second) == (
        f"{tmp_path / 'a' / 'run'}: cloud-only",
        f"{tmp_path / 'b' / 'run'}: cloud-only",
    )


def test_a_verdict_that_one_run_lacks_does_not_hold_for_the_pair(copy: Callable[[str], RunDirectory]) -> None:
    other = copy("other")
    edit(other, "summary.json", lambda summary: summary["faithful"].update(latency=False))
    assert {each.faithful["latency"] for each in compare_runs([copy("one"), other]).compared} == {False}


def test_answers_of_a_users_own_task_are_compared_by_their_scores(
    copy: Callable[[str], RunDirectory],
) -> None:
    directory = copy("run")

    def of_its_own_kind(manifest: Any) -> None:
        manifest["scenario"]["task"].update(kind="/gone/mine.py:Mine", labels=[])
        for tier in manifest["scenario"]["tiers"]:
            tier["model"] = {"kind": "recorded", "path": "/gone/answers.jsonl"}

    edit(directory, "manifest.json", of_its_own_kind)
    scored(directory, "score")
    rows = directory.read_table("requests.parquet")
    for row in rows:
        row["score"] = 0.75 if row["method"] == "recserve" else 0.25
    directory.write_table("requests.parquet", rows, REQUESTS)
    directory.seal()
    (one,) = compare_runs([directory]).compared
    assert one.quality is not None
    assert one.quality["difference"] == pytest.approx(0.5)
    assert one.p_value == pytest.approx(2 * 0.5**12, abs=0.001)  # all twelve, one way or the other


def test_answers_are_compared_by_another_score_if_it_is_asked_for(
    copy: Callable[[str], RunDirectory],
) -> None:
    directory = copy("run")
    (one,) = compare_runs([directory], score="macro_f1").compared
    rows = directory.read_table("requests.parquet")
    scores = []
    for name in ("cloud-only", "recserve"):
        of_method = [row for row in rows if row["method"] == name]
        scores.append(macro_f1([row["answer"] for row in of_method], [row["reference"] for row in of_method]))
    assert one.quality is not None
    assert scores[0]
    assert scores[1]
    assert one.quality["difference"] == pytest.approx(scores[1].score - scores[0].score)
    with pytest.raises(TestbedError, match="--score: there is no 'chrf' of classification; there is acc"):
        compare_runs([directory], score="chrf")


def test_latencies_are_tested_as_their_interval_says(copy: Callable[[str], RunDirectory]) -> None:
    directory = copy("run")
    (one,) = compare_runs([directory]).compared
    rows = pq.read_table(directory.path / "requests.parquet").to_pylist()
    ms = {
        name: [row["latency_ms"] for row in rows if row["method"] == name]
        for name in ("cloud-only", "recserve")
    }
    later_ms = np.subtract(ms["recserve"], ms["cloud-only"])
    assert effective_size(later_ms) == 12
    assert one.latency_p == one.latency_adjusted_p == pytest.approx(stats.ttest_1samp(later_ms, 0).pvalue)
    assert one.latency_by == "requests"


def made_of(directory: RunDirectory, **digests: str) -> RunDirectory:
    files = [{"field": field, "path": "/data/it", "sha256": sha256} for field, sha256 in digests.items()]
    edit(directory, "manifest.json", lambda manifest: manifest.update(files=files))
    return directory


def test_files_with_other_contents_are_told_although_the_scenario_is_the_same(
    copy: Callable[[str], RunDirectory],
) -> None:
    one, other = made_of(copy("one"), trace="a" * 64), made_of(copy("other"), trace="b" * 64)
    (note,) = compare_runs([one, other]).notes
    assert note == "from one to other: trace: another content (SHA-256 aaaaaaaaaaaa… → bbbbbbbbbbbb…)"
    assert compare_runs([one, one]).notes[0].endswith("the same scenario")


def test_a_run_that_does_not_tell_its_files_is_not_said_to_have_the_same(
    copy: Callable[[str], RunDirectory],
) -> None:
    (note,) = compare_runs([copy("one"), made_of(copy("other"), trace="b" * 64)]).notes
    assert note == "from one to other: one is of an older version and does not tell what its files were"
