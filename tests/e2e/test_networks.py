"""A whole run on a network unlike the quickstart's: five tiers, uneven, with a shared and a lopsided link."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.runs import check_bytes, check_prompt_bytes, read, run

pytestmark = pytest.mark.docker

SCENARIO = """
name: five-tiers
task: {kind: classification, dataset: rotten_tomatoes}
tiers:
  - {name: sensor, parents: [1, 1, 2], model: {kind: recorded, service: 1ms}, cpus: 0.2, memory: 256MiB}
  - {name: home, nodes: 2, model: {kind: recorded, service: 1ms}, cpus: 0.2, memory: 256MiB}
  - {name: edge, model: {kind: recorded, service: 1ms}, cpus: 0.2, memory: 256MiB, congestion: reno}
  - {name: region, model: {kind: recorded, service: 1ms}, cpus: 0.2, memory: 256MiB}
  - {name: cloud, model: {kind: recorded, service: 1ms}, cpus: 0.2, memory: 256MiB}
links:
  - {name: air, between: [sensor, home], shared: true, rate: 10mbit}
  - {name: line, between: [home, edge], up: {rate: 2mbit, queue: 50}, down: {rate: 20mbit}}
  - {name: metro, between: [edge, region], rate: 50mbit}
  - {name: core, between: [region, cloud]}
methods: [{name: cloud-only}, {name: recserve, beta: 0.5}]
trace: {requests: 20, arrivals: {process: poisson, rate: 10}, seed: 3}
replay: {mode: open, deadline: 20s}
"""
LINKS = {"air-home1", "air-home2", "home1-edge1", "home2-edge1", "edge1-region1", "region1-cloud1"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("five-tiers")
    (directory / "five-tiers.yaml").write_text(SCENARIO)
    done = run(directory / "run", scenario=directory / "five-tiers.yaml")
    assert done.returncode == 0, done.stderr
    assert "sensor/home/edge/region/cloud" in done.stdout.replace("/ ", "/")  # where a header may wrap
    return directory / "run"


def test_every_link_has_its_rows_its_captures_and_no_byte_without_a_cause(finished: Path) -> None:
    rows = check_bytes(finished)
    assert {row["link"] for row in rows} == LINKS
    assert len(rows) == len(LINKS) * 2 * 2
    for method in ("cloud-only", "recserve"):
        assert {pcap.stem for pcap in (finished / "captures" / method).iterdir()} == LINKS
    assert read(finished, "fidelity.json")["faithful"]["bytes"]
    assert read(finished, "fidelity.json")["faithful"]["decisions"]


def test_prompts_are_counted_once_on_each_link_of_a_requests_way(finished: Path) -> None:
    assert {row["outcome"] for row in read(finished, "requests.parquet")} == {"answered"}
    check_prompt_bytes(finished)
    summary = read(finished, "summary.json")["methods"]["cloud-only"]
    assert summary["served_by"] == {"sensor": 0, "home": 0, "edge": 0, "region": 0, "cloud": 20}
    assert summary["burden_vs_direct_cloud"] == pytest.approx(4.0)


def test_the_manifest_says_how_links_and_tiers_were(finished: Path) -> None:
    manifest = read(finished, "manifest.json")
    assert manifest["network"]["congestion"]["edge"] == "reno"
    shaped = {link["name"]: link for link in manifest["links"]}
    assert shaped["home1-edge1"]["up"]["queue_frames"] == 50
    assert shaped["air-home1"]["siblings"] == ["sensor2"]
    before = read(finished, "fidelity.json")["links"]["before"]
    rates = {(rate["link"], rate["direction"]): rate for rate in before if rate["quantity"] == "rate"}
    assert rates["home1-edge1", "up"]["configured"] == 2_000_000
    assert rates["home1-edge1", "down"]["configured"] == 20_000_000
    assert rates["air-home1", "up"]["measured"] == pytest.approx(10_000_000, rel=0.05)
