"""A capture that cannot be shown is told in one sentence that names what there is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.report.captures import find_capture
from testbed.results.directory import RunDirectory
from tests import ROOT

V1 = ROOT / "tests" / "data" / "run-v1"


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A copy of a run, to be changed."""
    shutil.copytree(V1, tmp_path / "run")
    return RunDirectory.open(tmp_path / "run")


def change_manifest(run: RunDirectory, **fields: object) -> None:
    run.write_json("manifest.json", run.read_json("manifest.json") | fields)


@pytest.mark.parametrize(
    ("method", "link", "sentence"),
    [
        ("recserv", "device1-edge1", "has no method 'recserv'; did you mean recserve?"),
        ("x", "device1-edge1", "has no method 'x'; known are cloud-only, recserve"),
        ("recserve", "device1-edge2", "has no link 'device1-edge2'; did you mean device1-edge1?"),
        ("recserve", "core", "has no link 'core'; known are device1-edge1, device2-edge1, edge1-cloud1"),
    ],
)
def test_an_unknown_method_or_link_is_told_with_the_nearest(method: str, link: str, sentence: str) -> None:
    with pytest.raises(TestbedError) as told:
        find_capture(RunDirectory.open(V1), method, link)
    assert str(told.value) == f"{V1} {sentence}"


def test_a_backend_links_capture_is_for_others_to_read(run: RunDirectory) -> None:
    behind = run.path / "captures" / "recserve" / "backend.cloud1.pcap"
    shutil.copy(run.path / "captures" / "recserve" / "edge1-cloud1.pcap", behind)
    told = f"^backend.cloud1 is no WAN link, and no table has its bytes; read {behind} with tshark$"
    with pytest.raises(TestbedError, match=told):
        find_capture(run, "recserve", "backend.cloud1")


def test_captures_that_were_discarded_are_told(run: RunDirectory) -> None:
    shutil.rmtree(run.path / "captures")
    told = "has no capture of device1-edge1 under recserve: "
    with pytest.raises(
        TestbedError, match=f"{told}they were removed, or it did not come so far; run it again"
    ):
        find_capture(run, "recserve", "device1-edge1")
    change_manifest(run, scenario=run.read_json("manifest.json")["scenario"] | {"captures": "discard"})
    with pytest.raises(
        TestbedError, match=f"{told}its scenario discards them; run it again with --set captures"
    ):
        find_capture(run, "recserve", "device1-edge1")


@pytest.mark.parametrize(
    ("request_id", "sentence"),
    [
        ("r0003", "did you mean r000003?"),
        ("x", "its requests are r000001 to r000012"),
    ],
)
def test_an_unknown_request_is_told_with_the_nearest(request_id: str, sentence: str) -> None:
    capture = find_capture(RunDirectory.open(V1), "recserve", "device1-edge1")
    with pytest.raises(TestbedError) as told:
        capture.request_bytes(request_id)
    assert str(told.value) == f"--request: recserve has no request {request_id!r}; {sentence}"


def test_a_request_that_did_not_cross_the_link_is_told_with_those_that_it_crossed() -> None:
    capture = find_capture(RunDirectory.open(V1), "recserve", "edge1-cloud1")
    hops = {row["request_id"]: row["hops"] for row in capture.requests}
    stayed = next(name for name, links in hops.items() if not links)
    one_hop = next(name for name, links in hops.items() if len(links) == 1)
    for name, crossed in ((stayed, "no link"), (one_hop, f"only {hops[one_hop][0]}")):
        with pytest.raises(TestbedError) as told:
            capture.request_bytes(name)
        assert str(told.value) == (
            f"--request: under recserve {name} did not cross edge1-cloud1; it crossed {crossed}"
        )


def test_what_times_count_from_is_said(run: RunDirectory) -> None:
    link = ("recserve", "device1-edge1")
    assert "the first frame: this run does not say" in find_capture(run, *link).note
    offsets_ns = [1_000, 1_000]
    change_manifest(run, started_ns={"recserve": 7}, clock_offsets_ns={"recserve": offsets_ns})
    assert find_capture(run, *link).note == "time 0 is the method's start"
    assert find_capture(run, *link).started_ns == 7
    change_manifest(run, started_ns={"recserve": 7}, clock_offsets_ns={"recserve": [0, 3_000_000]})
    assert (
        find_capture(run, *link).note == "the host's clock was moved by 3.0 ms meanwhile, and times with it"
    )


def test_a_manifest_that_makes_no_sense_is_told(run: RunDirectory) -> None:
    (run.path / "manifest.json").write_text(json.dumps({"schema_version": 1, "scenario": {"name": 3}}))
    with pytest.raises(TestbedError, match=r"manifest\.json: status is missing"):
        find_capture(run, "recserve", "device1-edge1")
