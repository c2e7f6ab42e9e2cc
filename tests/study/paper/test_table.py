"""The table over recordings: its figures are those of other code, and what cannot be tested says why."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from testbed.console import Quiet
from testbed.errors import TestbedError
from testbed.results.statistics import paired_difference, ratio_of_means
from testbed.scenario.matrix import read_matrix, write_matrix
from testbed.study.paper import ladders as ladders_module
from testbed.study.paper.claims import CLAIMS, Claim, Grid
from testbed.study.paper.ladders import EMBEDDED, OTHER_CLOUD, Ladder, opened
from testbed.study.paper.lines import NO_OTHER_CLOUD
from testbed.study.paper.make import make_table
from testbed.study.paper.on_ladder import FAILURES
from testbed.study.paper.options import Options, claims_named
from testbed.study.paper.table import Table, markdown
from testbed.study.paper.verdicts import Condition, Value
from testbed.study.what_if.predict import Wanted, what_if_grid
from tests import ROOT, SCENARIOS
from tests.study.paper.appendix import KEPT, by_hand, rows_of
from tests.study.what_if.made import made_matrix

MATRIX = SCENARIOS / "recorded" / "rotten_tomatoes.parquet"
NO_WIRE = "left out by a test"


def made(out: Path, claims: list[Claim], ladder: Ladder = EMBEDDED[0]) -> Table:
    return make_table(claims, [ladder], Options(out, wire_refused=NO_WIRE), Quiet())


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Table]:
    """Some claims on the committed recording, with the directory."""
    out = tmp_path_factory.mktemp("paper") / "out"
    names = "below-half,beta,cloud-model,budget,length-effect,unreachable,predicted"
    return out, made(out, claims_named(names))


def values(table: Table, claim: str) -> dict[str, Value]:
    (line,) = (line for line in table.lines if line.claim == claim)
    return dict(line.values)


def test_burden_and_quality_are_those_of_what_if_and_of_newcombes_interval(
    table: tuple[Path, Table],
) -> None:
    found = what_if_grid([MATRIX], ["recserve", "cloud-only"], ["beta=0.3"], Wanted(), Quiet())
    ours, cloud = found.points
    measured = values(table[1], "below-half")
    assert measured["burden"].estimate.value == pytest.approx(ours["burden_paper_vs_cloud_only"])
    short = measured["difference"].estimate
    assert short.value == pytest.approx(ours["accuracy"] - cloud["accuracy"])
    references, levels = found.study.references, [levels for _, levels in found.served]
    right = [
        [
            list(found.study.tiers.values())[level].answers[place] == references[place]
            for level, place in zip(of.tolist(), found.study.places.tolist(), strict=True)
        ]
        for of in levels
    ]
    other = paired_difference(right[1], right[0])
    assert short.interval is not None
    assert short.interval == pytest.approx(other.interval, abs=0.001)


def test_a_burdens_interval_is_that_of_a_ratio_of_means(table: tuple[Path, Table]) -> None:
    """By the delta method, which resamples nothing."""
    found = what_if_grid([MATRIX], ["recserve"], ["beta=0.3"], Wanted(), Quiet())
    (_, levels), study = found.served[0], found.study
    answers = np.take_along_axis(study.answer_bytes, levels[np.newaxis], axis=0)[0]
    paid = levels * (study.request_bytes + answers)
    direct = study.request_bytes + study.answer_bytes[-1]
    ratio = paid.sum() / direct.sum()
    spread = np.std(paid - ratio * direct, ddof=1) / np.sqrt(len(paid)) / direct.mean()
    burden = values(table[1], "below-half")["burden"].estimate
    assert burden.interval is not None
    assert burden.interval == pytest.approx((ratio - 1.96 * spread, ratio + 1.96 * spread), abs=0.004)


def test_the_length_effect_is_of_what_crossed_each_hop(table: tuple[Path, Table]) -> None:
    found = what_if_grid([MATRIX], ["recserve"], ["beta=0.3"], Wanted(), Quiet())
    (figures,) = found.points
    measured = values(table[1], "length-effect")
    assert measured["hop 1"].estimate.value == pytest.approx(figures["length_ratio_device"])
    assert measured["hop 2"].estimate.value == pytest.approx(figures["length_ratio_edge"])
    sizes = found.study.request_bytes.astype(np.float64)
    assert measured["hop 1"].estimate == ratio_of_means(sizes, found.served[0][1] > 0)


def test_the_other_cloud_is_the_edges_model_of_two_tiers(table: tuple[Path, Table]) -> None:
    wanted = Wanted(tiers="device,cloud=edge")
    found = what_if_grid([MATRIX], ["recserve"], ["beta=0.3"], wanted, Quiet())
    measured = values(table[1], "cloud-model")
    assert measured["burden"].estimate.value == pytest.approx(found.points[0]["burden_paper_vs_cloud_only"])
    assert measured["over lots"].estimate.value == found.points[0]["accuracy_vs_lot"]


def test_lines_stand_in_the_order_of_the_claims_and_in_three_files(table: tuple[Path, Table]) -> None:
    out, made_table = table
    names = [line.claim for line in made_table.lines]
    assert names == [claim.name for claim in CLAIMS if claim.name in names]
    told = json.loads((out / "paper.json").read_text())
    assert [line["claim"] for line in told] == names
    assert (out / "paper.csv").read_text().count("\n") >= len(names) + 1
    assert (out / "paper.md").read_text() == markdown(made_table.lines, made_table.notes)
    page = (out / "report.html").read_text()
    for line in made_table.lines:
        assert line.verdict in page
    assert {path.suffix for path in (out / "figures").iterdir()} == {".pdf", ".svg", ".png", ".csv", ".txt"}


def test_the_pages_table_has_these_figures_and_verdicts(table: tuple[Path, Table]) -> None:
    """``make paper`` made it; what rests on the committed recording is the same each time."""
    page = (ROOT / "docs" / "PAPER.md").read_text()
    measured = [line for line in table[1].lines if line.values]
    assert len(measured) == 5
    for line in measured:
        (row,) = (row for row in rows_of(page) if (row["claim"], row["ladder"]) == (line.claim, line.ladder))
        figures = "; ".join(f"{name} {value.words}" for name, value in line.values.items())
        assert row["value [95 %]"] == figures
        assert (row["command"], row["mark"]) == (f"`{line.command}`", line.mark)
        assert row["published"] == (line.published.replace("<", "&lt;") or "-")
        assert row["verdict"].startswith(f"**{line.verdict}**")


def test_units_and_whether_it_was_counted_are_the_same_in_value_and_condition(
    table: tuple[Path, Table],
) -> None:
    for line in table[1].lines:
        (claim,) = claims_named(line.claim)
        for condition in claim.conditions("accuracy") if line.values else ():
            value = line.values[condition.figure]
            assert (value.unit, value.is_counted) == (condition.unit, condition.is_counted)
            assert ("(counted)" in value.words) == value.is_counted == ("[" not in value.words)


def test_of_two_tiers_another_cloud_is_not_testable(table: tuple[Path, Table]) -> None:
    """RecServe sends up about β of any two models' requests, so that less than half is no finding."""
    (line,) = (line for line in table[1].lines if line.claim == "cloud-model")
    assert line.verdict == "not testable here"
    assert line.why == NO_OTHER_CLOUD
    assert line.values["burden"].estimate.value == pytest.approx(0.3, abs=0.03)


def test_the_budgets_bytes_are_counted_by_hand(table: tuple[Path, Table]) -> None:
    found = what_if_grid([MATRIX], ["budget"], ["share=0.3", "of=bytes"], Wanted(), Quiet())
    levels, sizes = found.served[0][1], found.study.request_bytes
    up = sum(int(size) for size, level in zip(sizes, levels, strict=True) if level > 0)
    assert values(table[1], "budget")["bytes up"] == Value.counted(
        up / int(sizes.sum()), ".3f", "of prompt bytes"
    )


def test_host_and_room_on_the_disk_are_noted(table: tuple[Path, Table]) -> None:
    out, made_table = table
    (host,) = (note for note in made_table.notes if note.startswith("host: "))
    assert re.match(rf"host: {len(os.sched_getaffinity(0))} × .*\), [\d.]+ GB of memory, ", host)
    text = (out / "paper.md").read_text()
    noted = re.search(r"^- disk: ([\d.]+) MB in the directory of results$", text, re.MULTILINE)
    assert noted is not None
    below = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    assert float(noted[1]) == pytest.approx(below / 1e6, abs=0.06)


def test_what_takes_the_wire_is_not_tested_without_it(table: tuple[Path, Table]) -> None:
    for name in ("unreachable", "predicted"):
        (line,) = (line for line in table[1].lines if line.claim == name)
        assert (line.verdict, line.why, dict(line.values)) == ("not testable here", NO_WIRE, {})
    table[1].check()


def points_by(command: str, out: Path) -> list[dict[str, str]]:
    """The points that one of the testbed's own commands writes."""
    program, *words = shlex.split(command)
    assert program == "testbed"
    done = subprocess.run(
        [sys.executable, "-m", "testbed.cli", *words, "--out", str(out)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with out.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_the_lines_command_by_hand_has_its_figure(table: tuple[Path, Table], tmp_path: Path) -> None:
    (line,) = (line for line in table[1].lines if line.claim == "cloud-model")
    (point,) = points_by(line.by_hand, tmp_path / "points.csv")
    assert float(point["burden_paper_vs_cloud_only"]) == pytest.approx(line.values["burden"].estimate.value)


POINTS = {
    "better-than-casserve": 35, "better-than-colserve": 35, "beta": 3, "window": 5, "recursion-pays": 10,
    "recursion-or-one-step": 20,
}  # fmt: skip
"""How many a claim's command has, where there are several."""


@pytest.mark.parametrize(
    ("claim", "when"),
    [
        pytest.param(claim, when, id=f"{claim.name}{when}".replace(" ", "-"))
        for claim in CLAIMS
        if isinstance(claim.evidence, Grid)
        for when in by_hand(claim)
    ],
)
def test_each_command_by_hand_of_the_appendix_is_one(claim: Claim, when: str, tmp_path: Path) -> None:
    command = by_hand(claim)[when]
    assert f"- By hand{when}: `{command}`\n" in KEPT.read_text()
    write_matrix(made_matrix(120, ("device", "edge", "cloud", OTHER_CLOUD)), tmp_path / "made.parquet")
    points = points_by(command.replace("MATRIX", f"{tmp_path}/made.parquet"), tmp_path / "out.csv")
    assert len(points) == POINTS.get(claim.name, 1)


def test_a_ladder_that_does_not_rise_is_refused_by_name(tmp_path: Path) -> None:
    """60 made prompts are too few to show that the edge is better than the device."""
    path = tmp_path / "few.parquet"
    write_matrix(made_matrix(60), path)
    flat = Ladder("few", SCENARIOS / "recorded.yaml", path)
    found = opened(flat, path)
    assert re.match(r"it takes a ladder that rises, and that of few does not .* device to edge", found.lacks)
    table = made(tmp_path / "out", claims_named("below-half,length-effect"), flat)
    assert (table.lines[0].verdict, table.lines[0].why) == ("not testable here", found.lacks)
    assert table.lines[1].values, "a claim about bytes takes no ladder that rises"


def test_each_step_of_the_committed_ladder_rises_as_newcombe_has_it() -> None:
    found, matrix = opened(EMBEDDED[0], MATRIX), read_matrix(MATRIX)
    right = [
        [answer == reference for answer, reference in zip(model.answers, matrix.references, strict=True)]
        for model in matrix.models.values()
    ]
    assert found.lacks == ""
    for step, lower, upper in zip(found.steps, right, right[1:], strict=False):
        other = paired_difference(lower, upper)
        assert step.value.estimate.value == pytest.approx(other.difference)
        assert step.value.estimate.interval == pytest.approx(other.interval, abs=0.001)


def test_a_failure_is_a_line_and_the_others_stand(tmp_path: Path) -> None:
    def broken(_: object) -> dict[str, Value]:
        raise ZeroDivisionError("by hand")

    bad = Claim(
        "bad", "Fails.", Grid(["recserve"], ["beta=0.3"], broken), lambda _: [Condition("x", above=0)]
    )
    good = claims_named("length-effect")[0]
    table = made(tmp_path / "out", [bad, good])
    assert [line.verdict for line in table.lines] == ["failed", "not"]
    assert table.lines[0].why == "ZeroDivisionError: by hand"
    assert "in broken" in (tmp_path / "out" / FAILURES).read_text()
    with pytest.raises(TestbedError, match="1 of 2 lines have no figures to rely on, the first bad on"):
        table.check()


def test_models_that_cannot_be_had_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise TestbedError("x/y cannot be had from the model hub (no network)")

    monkeypatch.setattr(ladders_module, "_record", refused)
    table = made(tmp_path / "out", claims_named("below-half"), Ladder("far", SCENARIOS / "translation.yaml"))
    assert table.lines[0].verdict == "not testable here"
    assert table.lines[0].why == "x/y cannot be had from the model hub (no network)"
    with pytest.raises(TestbedError, match=r"^no ladder can be had here: x/y cannot"):
        table.check()


def test_a_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(TestbedError, match=r"--out: .* holds something else"):
        made(tmp_path, claims_named("below-half"))


def test_a_call_goes_on_only_with_the_same_options(tmp_path: Path) -> None:
    out = tmp_path / "out"
    made(out, claims_named("length-effect"))
    made(out, claims_named("length-effect"))
    with pytest.raises(TestbedError, match="was begun with other options"):
        make_table(claims_named("length-effect"), [EMBEDDED[0]], Options(out, quick=True), Quiet())


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "testbed.study.paper", *words],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--claims", "windw"), "paper: --claims: no 'windw'; did you mean window?"),
        (("--claims", ","), "paper: --claims: names nothing; give one or more of below-half"),
        (("--ladders", "imdb"), "paper: --ladders: no 'imdb'; known are classification, translation"),
        (("--no-wire", "--device", "gpu"), "paper: --device: must be cpu or cuda, not 'gpu'"),
    ],
)
def test_a_wrong_name_is_one_sentence(words: tuple[str, ...], sentence: str) -> None:
    done = command(*words)
    assert done.returncode == 1
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1


def test_without_a_hub_it_says_so_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "HUB": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": "none",
        "TESTBED_CACHE": "cache",
    }.items():
        monkeypatch.setenv(name, value if len(value) == 1 else str(tmp_path / value))
    done = command("--no-wire", "--ladders", "sst2", "--claims", "below-half", "--out", str(tmp_path / "out"))
    assert done.returncode == 1
    *_, last = done.stderr.splitlines()
    assert last.startswith(
        "paper: no ladder can be had here: azizbarank/distilroberta-base-sst2-distilled cannot"
    )
    assert "Traceback" not in done.stderr + done.stdout
    (line,) = json.loads((tmp_path / "out" / "paper.json").read_text())
    assert line["verdict"] == "not testable here"
