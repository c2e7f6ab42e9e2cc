"""Points go to machines one at a time, again after a loss, and never to a machine that differs.

Ray's processes are left out: what machines give is written down here, and the rest is real.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import ray
import ray.exceptions
import ray.util.scheduling_strategies

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.results.directory import RunDirectory
from testbed.study.sweep import spread
from testbed.study.sweep.cluster import Cluster
from testbed.study.sweep.directory import SweepDirectory
from testbed.study.sweep.machine import Outcome, run_point
from testbed.study.sweep.packed import Sent, pack, packed_bytes
from testbed.study.sweep.points import Wanted, points_of
from testbed.study.sweep.spread import ATTEMPTS, run_on_cluster
from testbed.study.sweep.table import sweep_table
from tests import ROOT

WANTED = Wanted(ROOT / "scenarios" / "quickstart.yaml", ["links.core.loss=0%,1%,2%"], 1, None, 12, 1)
LOST = [ray.exceptions.WorkerCrashedError()]


@dataclass(eq=False)
class Items:
    """A generator's items as a driver has them."""

    node: str
    rest: list[Any]

    def __next__(self) -> Any:
        if not self.rest:
            raise StopIteration
        return self.rest.pop(0)

    def completed(self) -> Items:
        return self


@dataclass
class Script:
    """Ray, as far as drivers see it. ``turns`` has what each node gives for its first point, its second, …"""

    turns: dict[str, list[list[Any]]]
    unalike: dict[str, str] = field(default_factory=dict)
    given: list[tuple[str, float]] = field(default_factory=list)
    at_once: int = 0
    cancelled: list[str] = field(default_factory=list)
    exceptions = ray.exceptions
    util = ray.util

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {"Alive": True, "NodeManagerHostname": name, "NodeID": name * 56, "Resources": {"testbed": 1.0}}
            for name in self.turns
        ] + [
            {"Alive": False, "NodeManagerHostname": "dead", "NodeID": "d" * 56, "Resources": {"testbed": 1.0}}
        ]

    def remote(self, function: Callable[..., Any]) -> Any:
        options: dict[str, Any] = {}

        class Remote:
            def options(_self, **given: Any) -> Any:
                options.update(given)
                return _self

            def remote(_self, *arguments: Any) -> Any:
                node = options["scheduling_strategy"].node_id[0]
                assert (options["resources"], options["max_retries"]) == ({"testbed": 1}, 0)
                if function is not run_point:
                    return Items(node, [self.unalike.get(node)])
                self.given.append((node, arguments[0]["links"][1]["loss"]))
                return Items(node, list(self.turns[node].pop(0)))

        return Remote()

    def wait(
        self, waited: Sequence[Items], num_returns: int, timeout: float
    ) -> tuple[list[Items], list[Items]]:
        nodes = [items.node for items in waited]
        assert len(set(nodes)) == len(nodes), "two points on a machine at once"
        self.at_once = max(self.at_once, len(nodes))
        return list(waited), []

    def get(self, item: Any) -> Any:
        item = next(item) if isinstance(item, Items) else item
        if isinstance(item, BaseException):
            raise item
        return item

    def cancel(self, items: Items) -> None:
        self.cancelled.append(items.node)


@pytest.fixture
def finished(tmp_path: Path) -> list[Any]:
    """What a machine gives for a point that it ran."""
    run = tmp_path / "run"
    shutil.copytree(ROOT / "tests" / "data" / "run-v1", run)
    RunDirectory(run).seal()
    return [Sent(packed_bytes(run)), *pack(run), Outcome()]


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Script], SweepDirectory]:
    monkeypatch.setattr(spread, "_REST_S", 0.0)
    monkeypatch.setattr(spread, "_POLL_S", 0.01)
    points = points_of(WANTED)
    directory = SweepDirectory.open_or_create(
        tmp_path / "sweep", WANTED, [point for point, _ in points], "quickstart"
    )

    def run(script: Script) -> SweepDirectory:
        cluster = Cluster(cast(Any, script))
        waiting = [each for each in points if not directory.finished(each[0])]
        expected_s = {point.number: 1.0 for point, _ in waiting}
        run_on_cluster(cluster, directory, waiting, expected_s, Reporter())
        return directory

    return run


Go = Callable[[Script], SweepDirectory]


def _status(sweep: SweepDirectory) -> list[str]:
    table = sweep_table(sweep).drop_duplicates("point")
    return list(table["status"])


def test_each_machine_has_one_point_at_a_time(go: Go, finished: list[Any]) -> None:
    script = Script({"a": [[*finished], [*finished]], "b": [[*finished]]})
    sweep = go(script)
    assert _status(sweep) == ["finished"] * 3
    assert script.given == [("a", 0.0), ("b", 0.01), ("a", 0.02)]
    assert script.at_once == 2
    assert not list((sweep.path / "points").glob(".*"))
    assert (sweep.path / "points.csv").is_file()


def test_a_killed_workers_point_is_done_again(go: Go, finished: list[Any], capsys: Any) -> None:
    half = finished[: len(finished) // 2]
    script = Script({"a": [[*half, *LOST], [], [*finished], [*finished], [*finished]]})
    assert _status(go(script)) == ["finished"] * 3
    assert [loss for _, loss in script.given] == [0.0, 0.0, 0.0, 0.01, 0.02]
    said = capsys.readouterr().err
    assert "point 1 goes back: a: its worker was lost (WorkerCrashedError: " in said
    assert "point 1 on a (attempt 3 of 3): " in said


def test_a_point_whose_worker_always_dies_is_a_row(go: Go, finished: list[Any]) -> None:
    script = Script({"a": [LOST] * ATTEMPTS + [[*finished], [*finished]]})
    sweep = go(script)
    assert _status(sweep) == ["failed", "finished", "finished"]
    failure = str(sweep.failure(sweep.points[0]))
    assert failure.startswith("its worker was lost (WorkerCrashedError: ")
    assert failure.endswith("the last of 3 times on a")
    script = Script({"a": [[*finished]]})
    assert _status(go(script)) == ["finished"] * 3, "the same command goes on"


def test_what_the_scenario_is_to_blame_for_is_not_tried_again(go: Go, finished: list[Any]) -> None:
    script = Script({"a": [[Outcome("the image cannot be made")], [*finished], [*finished]]})
    sweep = go(script)
    assert sweep.failure(sweep.points[0]) == "the image cannot be made"
    assert len(script.given) == 3


def test_what_comes_back_damaged_is_a_row(go: Go, finished: list[Any]) -> None:
    flipped = [finished[0], bytes(len(finished[1])), finished[2]]
    script = Script({"a": [flipped, [finished[0], Outcome()], [Outcome()]]})
    sweep = go(script)
    assert _status(sweep) == ["failed"] * 3
    first, second, third = (str(sweep.failure(point)) for point in sweep.points)
    assert first.startswith("what came back is damaged")
    assert second.startswith("only 0 of ")
    assert third.startswith("nothing came back")


def test_a_machine_that_differs_is_refused_before_the_first_point(go: Go, finished: list[Any]) -> None:
    script = Script({"a": [], "b": []}, unalike={"b": "lacks the file /data/x; bring it"})
    with pytest.raises(TestbedError, match="--on: the machine b lacks the file /data/x"):
        go(script)
    assert script.given == []


def test_a_machine_that_differs_later_gets_nothing_more(go: Go, finished: list[Any]) -> None:
    unfit = Outcome("has another file /data/x; bring it", unfit=True)
    script = Script({"a": [[unfit]], "b": [[*finished]] * 3})
    assert _status(go(script)) == ["finished"] * 3
    assert [node for node, _ in script.given] == ["a", "b", "b", "b"]


def test_a_machine_without_the_testbed_gets_nothing_more(go: Go, finished: list[Any], tmp_path: Path) -> None:
    missing = ray.exceptions.RayTaskError("run_point", "", ModuleNotFoundError("No module named 'testbed'"))
    script = Script({"a": [[missing]], "b": [finished] * 3})
    assert _status(go(script)) == ["finished"] * 3
    (tmp_path / "sweep" / "points" / "0001" / "manifest.json").unlink()
    with pytest.raises(TestbedError, match=r"a cannot run the testbed's code \(No module named 'testbed'\)"):
        go(Script({"a": [[missing]]}))


def test_when_no_machine_is_left_the_sweep_stops_and_can_go_on(go: Go) -> None:
    unfit = Outcome("has another file /data/x; bring it", unfit=True)
    with pytest.raises(TestbedError, match=r"no machine is left for 3 points: a has another file /data/x"):
        go(Script({"a": [[unfit]]}))


def test_an_interruption_ends_what_is_under_way(go: Go, finished: list[Any]) -> None:
    script = Script({"a": [finished[:1]], "b": [[KeyboardInterrupt()]]})
    with pytest.raises(KeyboardInterrupt):
        go(script)
    assert sorted(script.cancelled) == ["a", "b"]
