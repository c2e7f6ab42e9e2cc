"""A run in which links change and die, a tier stands still and is killed, and others use the network."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from testbed.results.columns import EVENTS
from tests import ROOT
from tests.e2e.runs import check_bytes, read, run, run_command, wait_until_nothing_is_left

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("events") / "run"
    done = run(out, scenario=ROOT / "scenarios" / "events.yaml")
    assert done.returncode == 0, done.stderr
    return out


def rows(out: Path, method: str, name: str = "events.parquet") -> list[dict[str, Any]]:
    return [row for row in read(out, name) if row["method"] == method]


METHODS = ("cloud-only", "recserve")


def requests_through(out: Path, node: str) -> list[dict[str, Any]]:
    return [row for row in read(out, "requests.parquet") if node in row["path"]]


def test_every_event_happened_in_every_method_and_the_table_says_when(finished: Path) -> None:
    assert set(read(finished, "events.parquet")[0]) == set(EVENTS.names)
    for method in METHODS:
        played = rows(finished, method)
        assert [row["kind"] for row in played] == ["set", "flow", "down", "pause", "kill"]
        for row in played:
            assert row["error"] is None
            assert not row["skipped"]
            assert row["took_effect_at_s"] >= row["at_s"]
            assert row["late_ms"] == pytest.approx((row["took_effect_at_s"] - row["at_s"]) * 1000)
        _, flow, _, pause, kill = played
        assert pause["ended_at_s"] >= 4.9
        assert kill["ready_after_s"] > 0
        assert flow["flow_sent_bytes"] >= flow["flow_received_bytes"] > 0


def test_every_byte_and_frame_has_a_cause_all_the_same(finished: Path) -> None:
    fidelity = read(finished, "fidelity.json")
    assert fidelity["reasons"]["bytes"] == []
    links = check_bytes(finished)
    assert len(links) == 2 * 3 * 2
    for method in METHODS:
        flow = rows(finished, method)[1]
        flown = {row["link"]: row["flow_bytes"] for row in links if row["method"] == method}
        assert flown["device1-edge1"] == flown["edge1-cloud1"] == 0
        up = next(
            row for row in rows(finished, method, "links.parquet")
            if (row["link"], row["direction"]) == ("device2-edge1", "up")
        )  # fmt: skip
        assert up["other_bytes"] >= up["flow_bytes"] > flow["flow_received_bytes"]
        dead = [row for row in rows(finished, method, "links.parquet") if row["down_lost_frames"]]
        assert {row["link"] for row in dead} <= {"device1-edge1"}
        assert rows(finished, method)[2]["lost_frames"] == sum(row["down_lost_frames"] for row in dead)


def test_every_request_ends_once_and_the_events_are_felt(finished: Path) -> None:
    for method in METHODS:
        requests = rows(finished, method, "requests.parquet")
        assert len(requests) == 60
        assert set(Counter(row["request_id"] for row in requests).values()) == {1}
    _, _, _, pause, _ = rows(finished, "cloud-only")
    came = [
        row
        for row in rows(finished, "cloud-only", "requests.parquet")
        if pause["took_effect_at_s"] < row["sent_at_s"] < pause["at_s"] + pause["for_s"]
    ]
    assert came
    assert all(
        row["done_at_s"] > pause["at_s"] + pause["for_s"] for row in came
    )  # edge1 stood still until then


def test_a_tier_that_an_event_had_stand_still_or_killed_did_so_as_asked(finished: Path) -> None:
    fidelity = read(finished, "fidelity.json")
    assert fidelity["stood_still"] == []
    assert len(fidelity["own_times"]) >= 2 * 3
    assert all(len(cpus) == 1 for cpus in fidelity["quotas"].values())
    assert not [reason for reason in fidelity["reasons"]["latency"] if "of its own for request" in reason]


def test_the_audit_accepts_a_tier_that_was_killed(finished: Path) -> None:
    assert read(finished, "fidelity.json")["reasons"]["decisions"] == []
    done = run_command("audit", str(finished))
    assert done.returncode == 0, done.stdout + done.stderr
    for method in METHODS:
        kill, requests = rows(finished, method)[-1], rows(finished, method, "requests.parquet")
        for row in requests:
            lives = dict(zip(row["path"], row["lives"], strict=True))
            edge = lives.pop("edge1", None)
            assert set(lives.values()) <= {0}
            if edge is not None and row["done_at_s"] < kill["at_s"]:
                assert edge == 0
            if edge is not None and row["sent_at_s"] > kill["took_effect_at_s"]:
                assert edge == 1
    assert any(row["lives"][1] == 1 for row in requests_through(finished, "edge1"))


def test_nothing_of_it_is_left(finished: Path) -> None:
    assert finished.exists()
    assert wait_until_nothing_is_left() == []
