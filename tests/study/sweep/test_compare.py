"""Sweeps are compared setting by setting, their seeds together, and only where that means something."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy import stats

from testbed.errors import TestbedError
from testbed.report.comparison import MAX_LINES, compared_rows, print_comparison
from testbed.results.columns import REQUESTS
from testbed.results.compare import Comparison
from testbed.results.directory import RunDirectory
from testbed.scenario.workload.trace_file import Request, write_trace
from testbed.study.sweep.compare import compare
from testbed.study.sweep.directory import SweepDirectory
from testbed.study.sweep.points import Wanted, points_of
from testbed.study.what_if.output import write_points
from tests import ROOT

RUN = ROOT / "tests" / "data" / "run-v1"
REQUESTS_EACH, PROMPTS = 20, 45
Sweeps = Callable[..., Path]


def edit(path: Path, change: Callable[[Any], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    RunDirectory(path.parent).seal()


def make_run(path: Path, seed: int, slower_ms: float = 0.0) -> None:
    """A run of 20 requests, which draws its prompts by its seed; how each prompt is answered is fixed."""
    shutil.copytree(RUN, path, ignore=shutil.ignore_patterns("captures"))
    draws, directory = random.Random(seed), RunDirectory(path)
    asked = draws.sample(range(PROMPTS), REQUESTS_EACH)
    by_method = {row["method"]: row for row in directory.read_table("requests.parquet")}
    rows = []
    for method, template in by_method.items():
        for number, prompt in enumerate(asked):
            right = random.Random(f"{prompt} {method}").random() < (0.9 if method == "cloud-only" else 0.6)
            latency_ms = 20 + draws.random() + (0 if method == "cloud-only" else slower_ms + seed)
            answer = {"answer": "positive" if right else "negative", "reference": "positive"}
            ids = {"request_id": f"r{number:06d}", "latency_ms": latency_ms, "correct": right}
            rows.append({**template, **ids, **answer})
    directory.write_table("requests.parquet", rows, REQUESTS)
    trace = [
        Request(f"r{number:06d}", float(number), "device1", "rotten_tomatoes", "test", prompt)
        for number, prompt in enumerate(asked)
    ]
    write_trace(trace, path / "trace.jsonl")
    directory.seal()


@pytest.fixture
def sweep(tmp_path: Path) -> Sweeps:
    """Makes a sweep of which all points were run, but for those to leave out."""

    def make(
        name: str,
        *given: str,
        repeat: int = 3,
        seed: int = 1,
        without: Sequence[int] = (),
        slower_ms: float = 0,
    ) -> Path:
        wanted = Wanted(
            ROOT / "scenarios" / "quickstart.yaml", given or ["links.core.loss=0%,1%"], repeat, None, 20, seed
        )
        points = [point for point, _ in points_of(wanted)]
        made = SweepDirectory.open_or_create(tmp_path / name, wanted, points, "quickstart")
        for point in points:
            if point.number not in without:
                make_run(made.run_path(point), point.seed, slower_ms)
        return made.path

    return make


def tables(sweep: Path, numbers: Sequence[int]) -> list[pd.DataFrame]:
    """For each point: a row for each request, with the columns of both methods."""
    found = []
    for number in numbers:
        path = sweep / "points" / f"{number:04d}"
        rows = pd.read_parquet(path / "requests.parquet")
        trace = pd.read_json(path / "trace.jsonl", lines=True).set_index("id")
        wide = rows.pivot_table(
            index="request_id", columns="method", values=["correct", "latency_ms"], aggfunc="first"
        )
        wide["row", ""] = trace["row"]
        found.append(wide)
    return found


def by_setting(comparison: Comparison) -> list[tuple[str, str, str]]:
    return [(each.settings["links.core.loss"], each.first, each.second) for each in comparison.compared]


def test_methods_of_a_sweep_are_compared_at_each_setting_over_all_seeds(sweep: Sweeps) -> None:
    path = sweep("one")
    comparison = compare([path])
    assert by_setting(comparison) == [("0%", "cloud-only", "recserve"), ("1%", "cloud-only", "recserve")]
    found = comparison.compared[0]
    points = tables(path, [1, 2, 3])
    pooled = pd.concat(points)
    later = pooled["correct"]["recserve"].astype(int) - pooled["correct"]["cloud-only"].astype(int)
    assert (found.seeds, found.requests, found.prompts) == (3, 60, pooled["row"].nunique())
    assert found.quality is not None
    assert found.quality["difference"] == pytest.approx(later.mean())
    # Each prompt is answered alike whenever it is asked; so many pairs are so many prompts, at random signs.
    sums = later.groupby(pooled["row"].to_numpy()).sum()
    flips = np.random.default_rng(0).choice([-1, 1], size=(20_000, len(sums))) @ sums.to_numpy()
    assert found.p_value == pytest.approx(np.mean(np.abs(flips) >= abs(sums.sum())), abs=0.02)
    means_ms = [(one["latency_ms"]["recserve"] - one["latency_ms"]["cloud-only"]).mean() for one in points]
    expected = stats.ttest_1samp(means_ms, 0)
    assert found.latency_by == "runs"
    assert found.latency_ms == pytest.approx(np.mean(means_ms))
    assert found.latency_p == pytest.approx(expected.pvalue)
    assert found.latency_ci_ms == pytest.approx(list(expected.confidence_interval()))
    figures = json.loads((RUN / "summary.json").read_text())["methods"]
    assert found.prompt_bytes == (
        3 * figures["cloud-only"]["prompt_bytes"],
        3 * figures["recserve"]["prompt_bytes"],
    )


def test_lines_of_all_settings_are_corrected_together(sweep: Sweeps) -> None:
    one, other = compare([sweep("one", seed=5)]).compared
    assert one.p_value == other.p_value  # the same seeds
    assert one.p_value is not None
    assert one.adjusted_p == other.adjusted_p == pytest.approx(min(1, 2 * one.p_value))
    assert one.latency_p is not None
    assert one.latency_adjusted_p == pytest.approx(2 * one.latency_p)


def test_a_setting_of_one_seed_is_compared_over_its_requests(sweep: Sweeps) -> None:
    path = sweep("one", repeat=1)
    (found, _), (run,) = compare([path]).compared, compare([path / "points" / "0001"]).compared
    assert (found.seeds, found.latency_by) == (1, "requests")
    assert (found.quality, found.p_value, found.latency_ci_ms, found.latency_p) == (
        run.quality, run.p_value, run.latency_ci_ms, run.latency_p,
    )  # fmt: skip


def test_two_sweeps_are_compared_where_settings_and_seeds_are_the_same(sweep: Sweeps) -> None:
    one = sweep("one", "links.core.loss=0%,1%", "methods.recserve.beta=0.1,0.30")
    other = sweep("other", "methods.recserve.beta=0.3", "links.core.loss=1%,2%", seed=2, slower_ms=7)
    comparison = compare([one, other])
    assert by_setting(comparison) == [
        ("1%", "one: cloud-only", "other: cloud-only"),
        ("1%", "one: recserve", "other: recserve"),
    ]
    found = comparison.compared[1]
    assert (found.seeds, found.requests, found.p_value) == (2, 40, 1)  # seeds 2 and 3
    assert found.latency_ms == pytest.approx(7, abs=1)
    notes = "\n".join(comparison.notes)
    assert (
        "of one alone, not compared: point 1 (links.core.loss=0%, methods.recserve.beta=0.1, seed 1)" in notes
    )
    assert (
        "of other alone, not compared: point 3 (methods.recserve.beta=0.3, links.core.loss=1%, seed 4)"
        in notes
    )
    assert "from one to other: the same scenarios" in notes


def test_what_differs_between_sweeps_is_said_once(sweep: Sweeps) -> None:
    one, other = sweep("one"), sweep("other")
    for point in (other / "points").iterdir():
        edit(point / "manifest.json", lambda found: found["scenario"]["tiers"][0].update(cpus=0.75))
    assert compare([one, other]).notes == ["from one to other: tiers.device.cpus: 0.5 → 0.75"]


def test_points_that_did_not_finish_are_left_out_and_named(sweep: Sweeps) -> None:
    comparison = compare([sweep("one", without=[2, 4, 5, 6])])
    assert [(each.settings["links.core.loss"], each.seeds) for each in comparison.compared] == [("0%", 2)]
    assert comparison.notes[0].startswith(
        "left out of one, not finished: point 2 (links.core.loss=0%, seed 2); point 4 (links.core.loss=1%,"
    )


def test_what_a_verdict_of_any_point_speaks_against_is_not_shown(
    sweep: Sweeps, capsys: pytest.CaptureFixture[str]
) -> None:
    path = sweep("one")
    edit(path / "points" / "0002" / "summary.json", lambda found: found["faithful"].update(latency=False))
    comparison = compare([path])
    assert [each.faithful["latency"] for each in comparison.compared] == [False, True]
    print_comparison(comparison, Console(width=200))
    printed = capsys.readouterr().out
    assert "a verdict speaks against latency in one/0002" in printed
    first, second = (line for line in printed.splitlines() if "recserve" in line)
    assert first.count("n/v") == 3
    assert "n/v" not in second


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ["links.core.loss=3%"],
            "one and other have no finished point with the same settings and seed; one has",
        ),
        (["methods.recserve.beta=0.3"], r"other has methods.recserve.beta=0.3, seed 1 and others"),
    ],
)
def test_sweeps_with_nothing_in_common_are_refused(sweep: Sweeps, given: list[str], message: str) -> None:
    with pytest.raises(TestbedError, match=message):
        compare([sweep("one"), sweep("other", *given)])


def test_sweeps_of_other_prompts_are_refused(sweep: Sweeps) -> None:
    one, other = sweep("one", repeat=1), sweep("other", repeat=1)
    shutil.rmtree(other / "points" / "0002")
    make_run(other / "points" / "0002", 99)
    with pytest.raises(TestbedError, match=r"other/0002 did not replay the prompts of one/0002; r0+ is row"):
        compare([one, other])


def test_a_run_is_not_compared_with_a_sweep(sweep: Sweeps) -> None:
    path = sweep("one", repeat=1)
    with pytest.raises(TestbedError, match=r"run-v1 is no sweep and .*one is one: name sweeps alone"):
        compare([path, RUN])


def test_a_sweep_of_which_nothing_finished_or_a_lone_method_is_refused(sweep: Sweeps) -> None:
    with pytest.raises(TestbedError, match="no point was run to its end; go on with the sweep"):
        compare([sweep("none", repeat=1, without=[1, 2])])
    with pytest.raises(TestbedError, match=r"links\.core\.loss=0% has recserve alone; give another"):
        compare([sweep("one", repeat=1)], ["recserve"])


def test_many_lines_are_printed_in_part_and_written_as_a_whole(
    sweep: Sweeps, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = compare([sweep("one", repeat=1)])
    many = Comparison(few.scorer, [*few.compared] * 40, few.notes)
    print_comparison(many, Console(width=200))
    printed = capsys.readouterr().out
    assert printed.count("│ cloud-only") == MAX_LINES
    assert "20 more lines: --out FILE.csv writes all, --methods a,b shows fewer" in printed
    for name in ("all.csv", "all.parquet"):
        write_points(tmp_path / name, compared_rows(many))
    csv, parquet = pd.read_csv(tmp_path / "all.csv"), pd.read_parquet(tmp_path / "all.parquet")
    assert len(csv) == len(parquet) == 80
    assert list(csv.columns) == list(parquet.columns)
    assert csv["links.core.loss"].tolist() == ["0%", "1%"] * 40
    one = few.compared[0]
    assert one.quality is not None
    assert parquet["accuracy"][0] == one.quality["difference"]
    assert (parquet["accuracy_p"][0], parquet["latency_p"][0]) == (one.p_value, one.latency_p)
    assert parquet["quality_true"].all()
