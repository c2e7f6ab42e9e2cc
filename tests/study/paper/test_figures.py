"""The figures' numbers are those of the rows that they rest on, counted here by other means."""

from __future__ import annotations

import csv
from collections import defaultdict
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from testbed.console import Quiet
from testbed.report.figures.claims import causes_figure
from testbed.report.figures.style import Style
from testbed.results.fidelity import CLAIMS as JUDGED
from testbed.results.run import load_run
from testbed.results.statistics import Estimate
from testbed.study.paper import recorded as of_recordings
from testbed.study.paper import wire
from testbed.study.paper.ladders import EMBEDDED
from testbed.study.paper.make import make_table
from testbed.study.paper.options import Options, claims_named
from testbed.study.paper.verdicts import NotTestable
from testbed.study.what_if.predict import Wanted, what_if_grid
from tests import ROOT, SCENARIOS

RUN = ROOT / "tests" / "data" / "run-v6"
MATRIX = SCENARIOS / "recorded" / "rotten_tomatoes.parquet"
TIERS = ("device", "edge", "cloud")
COUNTED_BESIDE = {"frame", "ip", "unaccounted", "retried_prompt", "unattributed", "flow"}
"""Columns of bytes in ``links.parquet`` that are no cause of their own."""
Rows = list[dict[str, Any]]


def rows_of(name: str) -> Rows:
    found: Rows = pq.read_table(RUN / f"{name}.parquet").to_pylist()
    return found


@pytest.fixture(scope="module")
def by_hand() -> tuple[dict[str, dict[str, int]], dict[str, int], dict[str, int]]:
    """By method of the small run: bytes by cause, what the formula counts once a hop, and requests."""
    causes: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in rows_of("links"):
        for column, found in row.items():
            cause = column.removesuffix("_bytes")
            if column != cause and cause not in COUNTED_BESIDE:
                causes[row["method"]][cause.replace("_", " ")] += found
    formula: dict[str, int] = defaultdict(int)
    requests: dict[str, int] = defaultdict(int)
    for row in rows_of("requests"):
        hops = len(row["path"]) - 1
        formula[row["method"]] += hops * (row["prompt_bytes"] + len(row["answer"].encode()))
        requests[row["method"]] += 1
    return causes, formula, requests


def test_bytes_by_cause_and_their_figure_are_those_of_the_links_and_requests(
    by_hand: tuple[dict[str, dict[str, int]], dict[str, int], dict[str, int]],
) -> None:
    causes, formula, requests = by_hand
    figure = causes_figure(pd.DataFrame(wire.bytes_by_cause([load_run(RUN)])), "small")
    spec = figure.chart(Style(), dict.fromkeys(JUDGED, True)).to_dict()
    (drawn,) = spec["datasets"].values()
    for rows, rounding in ((figure.data.to_dict("records"), 1e-6), (drawn, 0.001 * max(requests.values()))):
        assert {(row["method"], row["cause"]) for row in rows} == {
            (method, cause) for method, of_method in causes.items() for cause in of_method
        }
        for row in rows:
            count, of_method = requests[row["method"]], causes[row["method"]]
            found, counted = row["bytes_per_request"], row["formula_bytes_per_request"]
            assert found * count == pytest.approx(of_method[row["cause"]], abs=rounding)
            assert counted * count == pytest.approx(formula[row["method"]], abs=rounding)
    frames: dict[str, int] = defaultdict(int)
    for row in rows_of("links"):
        frames[row["method"]] += row["frame_bytes"]
    summed = figure.data.groupby("method")["bytes_per_request"].sum()
    assert summed.to_dict() == pytest.approx({name: frames[name] / requests[name] for name in frames})


def test_the_line_of_bytes_on_the_wire_has_them_by_cause(
    by_hand: tuple[dict[str, dict[str, int]], dict[str, int], dict[str, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    causes, formula, requests = by_hand[0]["recserve"], by_hand[1]["recserve"], by_hand[2]["recserve"]
    monkeypatch.setattr(wire, "METHOD", "recserve")
    values = wire.formula_and_wire([load_run(RUN)])
    told = {name: value.estimate.value for name, value in values.items()}
    expected = {cause: found / requests for cause, found in causes.items()}
    expected |= {
        "formula": formula / requests,
        "frames over formula": sum(causes.values()) / formula,
    }
    assert told == pytest.approx(expected)
    assert values["prompt"].words == f"{causes['prompt'] / requests:.1f} B"


def confidences(model: Rows) -> list[float]:
    logits = np.array([row["logits"] for row in model], dtype=np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return [float(each) for each in (powers / powers.sum(axis=1, keepdims=True)).max(axis=1)]


@pytest.fixture(scope="module")
def recorded() -> dict[str, Rows]:
    """The rows of each model in the committed recording, in the order in which they are asked."""
    of_model: dict[str, Rows] = defaultdict(list)
    for row in pq.read_table(MATRIX).to_pylist():
        of_model[row["model"]].append(row)
    order = what_if_grid([MATRIX], ["recserve"], ["beta=0.3"], Wanted(), Quiet()).study.places
    return {tier: [of_model[tier][place] for place in order.tolist()] for tier in TIERS}


def served(recorded: dict[str, Rows], beta: float, window: int = 10_000) -> list[int]:
    """The tier, from 0, that answers each request: the authors' rule, written down plainly."""
    seen: list[list[float]] = [[], []]
    told = [confidences(recorded[tier]) for tier in TIERS]
    levels = []
    for place in range(len(told[0])):
        level = 0
        while level < 2:
            seen[level] = [*seen[level], told[level][place]][-window:]
            enough = len(seen[level]) > 1
            if not (enough and told[level][place] < np.percentile(seen[level], 100 * beta)):
                break
            level += 1
        levels.append(level)
    return levels


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, str]]]:
    """The rows beside each figure, as they are written."""
    out = tmp_path_factory.mktemp("paper") / "out"
    claims = claims_named("window,recursion-pays,length-effect")
    make_table(claims, [EMBEDDED[0]], Options(out, wire_refused="left out by a test"), Quiet())
    found = {}
    for path in (out / "figures").glob("*.csv"):
        with path.open(newline="") as lines:
            found[path.stem] = list(csv.DictReader(lines))
    return found


def test_the_burdens_figure_is_of_what_each_request_costs_by_the_formula(
    drawn: dict[str, list[dict[str, str]]], recorded: dict[str, Rows]
) -> None:
    rows = drawn["burden-by-beta"]
    assert [float(row["beta"]) for row in rows] == pytest.approx(
        [0.05, *(beta / 10 for beta in range(1, 10))]
    )

    def cost(place: int, level: int) -> int:
        row = recorded[TIERS[level]][place]
        return int(row["prompt_bytes"]) + len(row["answer"].encode())

    direct = sum(cost(place, 2) for place in range(len(recorded["cloud"])))
    for row in rows:
        levels = served(recorded, float(row["beta"]))
        paid = sum(level * cost(place, level) for place, level in enumerate(levels))
        assert float(row["burden"]) == pytest.approx(paid / direct)
        assert float(row["low"]) < float(row["burden"]) < float(row["high"])
        assert float(row["theory"]) == pytest.approx(float(row["beta"]) + float(row["beta"]) ** 2)


def test_the_windows_figure_is_of_right_answers(
    drawn: dict[str, list[dict[str, str]]], recorded: dict[str, Rows]
) -> None:
    def right(window: int) -> int:
        rows = [recorded[TIERS[level]][place] for place, level in enumerate(served(recorded, 0.3, window))]
        return sum(row["answer"] == row["reference"] for row in rows)

    largest, total = right(10_000), len(recorded["device"])
    assert [int(row["window"]) for row in drawn["window"]] == [30, 100, 300, 1000]
    for row in drawn["window"]:
        assert row["ladder"] == "classification, accuracy"
        assert float(row["difference"]) == pytest.approx((right(int(row["window"])) - largest) / total)


def test_the_lengths_figure_is_of_what_went_up_each_hop(
    drawn: dict[str, list[dict[str, str]]], recorded: dict[str, Rows]
) -> None:
    sizes = [int(row["prompt_bytes"]) for row in recorded["device"]]
    levels = served(recorded, 0.3)
    assert [row["hop"] for row in drawn["length-effect"]] == ["hop 1", "hop 2"]
    for hop, row in enumerate(drawn["length-effect"]):
        up = [size for size, level in zip(sizes, levels, strict=True) if level > hop]
        expected = (sum(up) / len(up)) / (sum(sizes) / len(sizes))
        assert float(row["ratio"]) == pytest.approx(expected)
        assert float(row["low"]) < expected < float(row["high"])


def test_an_interval_is_not_cut_where_the_grid_ends() -> None:
    def asked(*betas: float) -> Estimate:
        keys = "beta=" + ",".join(f"{beta:.4f}" for beta in betas)
        found = what_if_grid([MATRIX], ["recserve"], [keys], Wanted(), Quiet())
        return of_recordings.pays_below(found)["β"].estimate

    found = asked(0.05, 0.3, 0.5, 0.7, 0.9)
    assert found.interval is not None
    just_above = (found.value + found.interval.high) / 2
    with pytest.raises(NotTestable, match=r"in \d+ of \d+ resamples the burden does not cross"):
        asked(0.05, 0.3, just_above)
