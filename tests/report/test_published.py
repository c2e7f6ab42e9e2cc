"""The paper's figures stand beside measured ones of the same method and data set, with their mark."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from testbed.report.published import IMDB, PUBLISHED, WHOLE_SETS, published_burden, published_tables
from testbed.results.fidelity import CLAIMS
from testbed.results.scorers import SCORERS
from testbed.scenario.scenario import load_scenario
from testbed.scenario.workload.datasets import DATASETS
from testbed.scenario.workload.datasets.hub import HubDataset
from tests import SCENARIOS

BELIEVED = dict.fromkeys(CLAIMS, True)


def lines(name: str, score: float, burden: int, *overrides: str, **faithful: bool) -> dict[str, list[str]]:
    """By method, the cells of the table of a scenario of the paper's whose methods all have these figures."""
    scenario = load_scenario(SCENARIOS / "paper" / f"{name}.yaml", overrides)
    scorer = SCORERS[scenario.task.kind]
    figures: dict[str, Any] = {scorer.key: score, "burden_paper_bytes": burden, "requests": 872}
    summary = {
        "faithful": BELIEVED | faithful,
        "methods": {method.name: figures for method in scenario.methods},
    }
    (made,) = published_tables(summary, scenario.model_dump(mode="json"), scorer)
    cells = zip(*(column.cells for column in made.columns), strict=True)
    return {str(method): [str(cell) for cell in rest] for method, *rest in cells}


def test_each_published_figure_stands_in_the_line_of_its_method() -> None:
    found = lines("imdb", 0.9374, 61 << 20)
    assert found["recserve-0.3"] == ["93.74 %", "93.74 %", "61.00", "29.22 MB", "note"]
    assert found["recserve-0.1"][1:] == ["≈ 92.3 %", "61.00", "< 10 MB", "note"]
    assert found["casserve"][1] == "93.32 %"
    assert found["cloud-only"][3] == "60.82 MB"
    assert found["edge-only"] == ["93.74 %", "-", "61.00", "-", "-"]
    assert lines("wmt19", 26.5, 449 << 10)["colserve"] == ["26.50", "26.52", "449.00", "557.26 KB", "note"]


def test_of_a_set_without_published_figures_each_is_a_dash() -> None:
    for name in ("sst2", "rotten-tomatoes", "amazon-polarity", "wmt16", "opus100"):
        assert {(cells[1], cells[3], cells[4]) for cells in lines(name, 0.5, 1).values()} == {("-", "-", "-")}


def test_another_window_is_another_method() -> None:
    found = lines("imdb", 0.9, 1, "methods.recserve-0.3.window=300", "methods.recserve-0.5.start=cold")
    assert found["recserve-0.3"][1] == "-"
    assert found["recserve-0.5"][1] == "≈ 94.2 %"


def test_a_quality_that_is_not_valid_is_not_compared() -> None:
    assert {cells[0] for cells in lines("imdb", 0.9, 1, quality=False).values()} == {"n/v"}


def test_what_is_compared_is_said_below() -> None:
    scenario = load_scenario(SCENARIOS / "paper" / "imdb.yaml", methods=["recserve-0.3"])
    figures = {"accuracy": 0.9, "burden_paper_bytes": None, "requests": 100}
    summary = {"faithful": BELIEVED, "methods": {"recserve-0.3": figures}}
    console = Console(file=StringIO(), width=150)
    console.print(*published_tables(summary, scenario.model_dump(mode="json"), SCORERS["classification"]))
    assert isinstance(console.file, StringIO)
    text = console.file.getvalue()
    assert "measured: 100 requests, of 25,000 rows of the whole set" in text
    assert "not seen in it" in text


@pytest.mark.parametrize("dataset", ["rotten_tomatoes", {"name": "mine", "file": "x.csv"}])
def test_other_data_sets_have_no_such_table(dataset: Any) -> None:
    assert published_tables({}, {"task": {"dataset": dataset}}, SCORERS["classification"]) == []


def test_the_papers_sets_are_those_of_the_hub_and_of_its_scenarios() -> None:
    for name, rows in WHOLE_SETS.items():
        dataset = DATASETS[name]
        assert isinstance(dataset, HubDataset)
        assert dataset.rows == rows
    paths: list[Path] = sorted((SCENARIOS / "paper").glob("*.yaml"))
    assert {load_scenario(path).task.data.name for path in paths} == WHOLE_SETS.keys()
    assert {dataset for dataset, _, _ in PUBLISHED} <= WHOLE_SETS.keys()


def test_a_method_whose_turn_did_not_come_has_no_line() -> None:
    scenario = load_scenario(SCENARIOS / "paper" / "imdb.yaml")
    figures = {"accuracy": 0.9, "burden_paper_bytes": None, "requests": 100}
    summary = {"faithful": BELIEVED, "methods": {"cloud-only": figures}}
    (made,) = published_tables(summary, scenario.model_dump(mode="json"), SCORERS["classification"])
    assert list(made.columns[0].cells) == ["cloud-only"]


@pytest.mark.parametrize(
    ("point", "burden"),
    [
        ((IMDB, "recserve", 0.3), "0.480"),  # 29.22 of 60.82 MB
        (("yelp_polarity", "recserve", 0.3), "0.478"),  # 24.78 of 51.80 MB
        ((IMDB, "casserve", None), "0.505"),  # 30.70 of 60.82 MB
        ((IMDB, "recserve", 0.1), "< 0.164"),
        ((IMDB, "recserve", 0.5), "> 0.822"),
        (("wmt19", "recserve", 0.3), "about 0.31"),  # cloud-only's bytes are not known there
        (("wmt19", "casserve", None), ""),
        ((IMDB, "cloud-only", None), ""),
        (("sst2", "recserve", 0.3), ""),
    ],
)
def test_a_published_burden_is_a_share_of_cloud_onlys(
    point: tuple[str, str, float | None], burden: str
) -> None:
    assert published_burden(*point) == burden
