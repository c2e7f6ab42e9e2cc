"""A cloud tier on llama.cpp, whole: what passes to the engine is captured, and is on no WAN link."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scapy.layers.inet import IP
from scapy.utils import rdpcap

from testbed.host.engine import engine
from testbed.network.container import NODE_LABEL
from tests import ROOT
from tests.e2e.runs import (
    SMOKE,
    check_bytes,
    check_prompt_bytes,
    left_behind,
    read,
    rest_of_output,
    run,
    running,
    running_command,
    wait_for,
    wait_until_nothing_is_left,
)
from tests.e2e.test_serve import post

pytestmark = [pytest.mark.docker, pytest.mark.models]
LINKS = {"device1-edge1", "device2-edge1", "edge1-cloud1"}
METHODS = ("cloud-only", "recserve")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("engine") / "run"
    done = run(out, "--requests=8", scenario=ROOT / "scenarios" / "engine.yaml")
    assert done.returncode == 0, done.stderr
    assert left_behind() == []
    return out


def addresses(pcap: Path) -> set[str]:
    return {packet[IP].src for packet in rdpcap(str(pcap)) if IP in packet}


def test_bytes_decisions_and_quality_may_be_believed(finished: Path) -> None:
    fidelity = read(finished, "fidelity.json")
    assert [fidelity["reasons"][verdict] for verdict in ("bytes", "decisions", "quality")] == [[], [], []]
    assert not [note for note in fidelity["notes"] if "backend" in note]
    check_bytes(finished)
    check_prompt_bytes(finished)


def test_no_byte_of_the_engine_is_on_a_wan_link(finished: Path) -> None:
    assert {row["link"] for row in read(finished, "links.parquet")} == LINKS
    for method in METHODS:
        captures = finished / "captures" / method
        assert {path.stem for path in captures.iterdir()} == {*LINKS, "backend.cloud1"}
        for link in LINKS:
            assert all(address.startswith("10.77.") for address in addresses(captures / f"{link}.pcap"))
        assert len(addresses(captures / "backend.cloud1.pcap")) == 2
        asked = (captures / "backend.cloud1.pcap").read_bytes().count(b"POST /v1/chat/completions")
        rows = [row for row in read(finished, "requests.parquet") if row["method"] == method]
        assert asked == sum(row["tier"] == "cloud" for row in rows)
        assert asked == 8 or method != "cloud-only"


def test_the_time_at_the_engine_is_part_of_the_inference(finished: Path) -> None:
    for row in read(finished, "requests.parquet"):
        assert row["outcome"] == "answered"
        assert row["answer"] in ("negative", "positive")
        waited = dict(zip(row["path"], row["backend_ms"], strict=True))
        inferred = dict(zip(row["path"], row["inference_ms"], strict=True))
        if "cloud1" in waited:
            assert 0.5 * inferred["cloud1"] < waited.pop("cloud1") < inferred["cloud1"]
        assert set(waited.values()) <= {None}


def test_what_a_node_uses_is_its_servers_and_its_engines(finished: Path) -> None:
    manifest = read(finished, "manifest.json")
    served = manifest["nodes"]["cloud1"]["engine"]
    assert (served["ftype"], served["n_params"]) == ("Q4_1", 134_515_008)
    assert manifest["engines"]["cloud"]["sha256"].startswith("b179c952")
    limits = {tier["node"]: tier["cpus"] for tier in read(finished, "fidelity.json")["tiers"]}
    assert limits["cloud1"] == 1.1
    (row,) = (
        row
        for row in read(finished, "tiers.parquet")
        if (row["node"], row["method"]) == ("cloud1", "cloud-only")
    )
    assert row["cpu_seconds"] > 0.5 * row["inference_ms"] / 1000


def test_an_engine_that_dies_ends_requests_as_inference_and_then_the_run(tmp_path: Path) -> None:
    out = tmp_path / "run"
    model = "{kind: engine, engine: llama.cpp, gguf: smollm2-135m-instruct, max_tokens: 1}"
    with running(out, f"--set=tiers.cloud.model={model}", "--set=trace.arrivals.rate=4") as process:
        wait_for(process, "cloud-only: replaying")
        (container,) = engine().containers.list(filters={"label": f"{NODE_LABEL}=Backend_cloud1"})
        container.kill()
        said = rest_of_output(process)
        assert process.wait(60) == 1
    why = "the engine of cloud1 has ended (exit status 137, SIGKILL)"
    ended = r"cloud1's engine has ended at [\d:]{8} UTC, and requests to it fail from now on"
    assert len(re.findall(f"{ended}: {re.escape(why)}", said)) == 1
    assert "Traceback" not in said
    rows = read(out, "requests.parquet")
    assert {row["method"] for row in rows} == {"cloud-only"}
    assert {row["outcome"] for row in rows} <= {"answered", "inference"}
    assert sum(row["outcome"] == "inference" for row in rows) > 10
    assert (out / "captures" / "cloud-only" / "backend.cloud1.pcap").stat().st_size > 24
    assert wait_until_nothing_is_left() == []


def test_an_engine_that_dies_ends_serving_and_what_was_asked_before_is_recorded(tmp_path: Path) -> None:
    out = tmp_path / "run"
    model = "{kind: engine, engine: llama.cpp, gguf: smollm2-135m-instruct, max_tokens: 1}"
    asked = ("serve", str(SMOKE), "--method=cloud-only", "--record", f"--out={out}")
    with running_command(*asked, f"--set=tiers.cloud.model={model}") as process:
        found = re.search(r"http://[\d.:]+", wait_for(process, "page: http"))
        assert found is not None
        assert post(found[0], "a film of no great length")["recserve"]["tier"] == "cloud"
        (container,) = engine().containers.list(filters={"label": f"{NODE_LABEL}=Backend_cloud1"})
        container.kill()
        said = rest_of_output(process)
        assert process.wait(60) == 1
    assert "the engine of cloud1 has ended (exit status 137, SIGKILL)" in said
    assert f"what was measured so far is in {out}" in said
    assert [row["tier"] for row in read(out, "requests.parquet")] == ["cloud"]
    check_bytes(out)
    assert wait_until_nothing_is_left() == []
