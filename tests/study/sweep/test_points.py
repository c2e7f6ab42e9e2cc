"""A sweep's points are all combinations, checked before anything starts, with seeds and methods in turn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from testbed.errors import TestbedError
from testbed.study.sweep.points import Shard, Wanted, points_of
from tests import ROOT

QUICKSTART = ROOT / "scenarios" / "quickstart.yaml"


def wanted(*given: str, repeat: int = 1, scenario: Path = QUICKSTART) -> Wanted:
    return Wanted(scenario, given, repeat, ["cloud-only", "casserve", "recserve"], 20, 7)


def test_every_combination_is_a_point_the_last_key_the_fastest() -> None:
    points = points_of(wanted("methods.recserve.beta=0.1,0.3", "links.core.loss=0%,1%,2%"))
    assert [tuple(point.settings.values()) for point, _ in points] == [
        ("0.1", "0%"), ("0.1", "1%"), ("0.1", "2%"), ("0.3", "0%"), ("0.3", "1%"), ("0.3", "2%"),
    ]  # fmt: skip
    assert [point.name for point, _ in points] == ["0001", "0002", "0003", "0004", "0005", "0006"]
    last = points[-1][1]
    assert (last.topology.links[-1].up.loss, last.methods[2].parameters["beta"]) == (0.02, 0.3)


def test_repeats_have_seeds_that_follow_and_their_methods_in_turn() -> None:
    points = points_of(wanted("methods.recserve.beta=0.3", repeat=4))
    assert [point.seed for point, _ in points] == [scenario.seed for _, scenario in points] == [7, 8, 9, 10]
    assert [[method.name for method in scenario.methods] for _, scenario in points] == [
        ["cloud-only", "casserve", "recserve"],
        ["casserve", "recserve", "cloud-only"],
        ["recserve", "cloud-only", "casserve"],
        ["cloud-only", "casserve", "recserve"],
    ]


def test_commas_in_brackets_and_quotes_separate_nothing() -> None:
    points = points_of(
        wanted("methods.casserve.thresholds={device: 0.8, edge: 0.7},{device: 0.9, edge: 0.9}")
    )
    assert [scenario.methods[1].parameters["thresholds"]["edge"] for _, scenario in points] == [0.7, 0.9]


def test_nothing_to_vary_is_one_point() -> None:
    assert len(points_of(wanted())) == 1


@drawn(st.integers(1, 200), st.integers(1, 50))
def test_shards_are_blocks_of_equal_size_that_have_each_point_once(total: int, of: int) -> None:
    parts = [Shard(number, of).part(range(total)) for number in range(1, of + 1)]
    assert [point for part in parts for point in part] == list(range(total))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_shard_is_part_of_all_points() -> None:
    asked = replace(wanted("links.core.loss=0%,1%,2%"), shard=Shard.parse("2/3"))
    assert [point.number for point, _ in asked.part(points_of(asked))] == [2]
    with pytest.raises(TestbedError, match="--shard: 1/4 of 3 points leaves shards without any; take fewer"):
        points_of(replace(asked, shard=Shard(1, 4)))


@pytest.mark.parametrize("text", ["0/3", "4/3", "2", "a/b", "1/0", "-1/3", "1/3/5", ""])
def test_what_is_no_shard_is_told(text: str) -> None:
    with pytest.raises(TestbedError, match="is no part of a whole; write it like 2/3"):
        Shard.parse(text)


def test_sweeps_compress_captures_unless_told_otherwise(tmp_path: Path) -> None:
    assert [scenario.captures for _, scenario in points_of(wanted())] == ["compress"]
    assert [scenario.captures for _, scenario in points_of(wanted("captures=keep,discard"))] == [
        "keep",
        "discard",
    ]
    path = tmp_path / "kept.yaml"
    path.write_text(QUICKSTART.read_text() + "\ncaptures: keep\n")
    assert [scenario.captures for _, scenario in points_of(wanted(scenario=path, repeat=2))] == [
        "keep",
        "keep",
    ]


@pytest.mark.parametrize(
    ("given", "repeat", "message"),
    [
        (["links.core.loss"], 1, "is not key.path=VALUES"),
        (["links.core.loss="], 1, "is not key.path=VALUES"),
        (["links.core.loss=1%,,2%"], 1, "is not key.path=VALUES"),
        (["links.core.loss=1%", "links.core.loss=2%"], 1, "is given twice"),
        (["links.core.loss=1%,1%"], 1, "has a value twice"),
        (["links.core.loss=1%,nonsense"], 1, "links.core.loss=nonsense"),
        (["links.core.lost=1%"], 1, "lost"),
        (["trace.seed=" + ",".join(map(str, range(101)))], 100, "10,100 points are too many"),
        ([], 0, "--repeat: 0 is less than 1"),
    ],
)
def test_what_cannot_be_swept_is_refused_in_one_sentence(given: list[str], repeat: int, message: str) -> None:
    with pytest.raises(TestbedError, match=message):
        points_of(wanted(*given, repeat=repeat))
