"""A city is predicted by the command that the page shows, in the memory that it tells of."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests import ROOT
from tests.bench.city_bench import bytes_a_request, used
from tests.docs.pages import blocks, typed

MOST_BYTES_A_REQUEST = 400
"""Of 240 that are measured. Requests that were objects, and kept, took 900."""
MOST_RESIDENT_BYTES = 300 << 20
"""At 100,000 requests, where 225 MiB are measured, of which libraries, network and prompts take 190."""
PAGE = ROOT / "docs" / "CITY.md"
COMMAND = (
    "testbed what-if scenarios/city.yaml --queues --out city.csv "
    "--set tiers.device.nodes=10000 --set tiers.edge.nodes=1000 --set tiers.cloud.nodes=100 "
    "--set trace.arrivals.rate=400 --set trace.requests=1000000"
)


@pytest.mark.timeout(300)
def test_memory_for_a_hundred_thousand_requests_is_bounded() -> None:
    few, many = used(2_000), used(100_000)
    assert 50 << 20 < many.peak_bytes < MOST_RESIDENT_BYTES
    assert bytes_a_request(few, many) < MOST_BYTES_A_REQUEST


@pytest.mark.timeout(300)
def test_what_a_policy_knows_of_all_requests_is_there_once_and_not_on_every_node() -> None:
    assert used(20_000, "methods=[{name: oracle}]").peak_bytes < MOST_RESIDENT_BYTES  # 1.4 GiB otherwise


@pytest.mark.timeout(300)
def test_the_pages_city_is_predicted_with_fewer_requests(tmp_path: Path) -> None:
    assert COMMAND in [command for block in blocks(PAGE) for command in block.commands]
    (tmp_path / "scenarios").symlink_to(ROOT / "scenarios")
    done = typed(f"{COMMAND} --requests 20000", tmp_path, 240)
    assert done.returncode == 0, done.stderr
    assert "20,000 requests of 10,000 nodes of device" in done.stdout
    assert "± ? │" not in done.stdout  # nothing is overloaded
    rows = {row["method"]: row for row in csv.DictReader((tmp_path / "city.csv").open())}
    assert list(rows) == ["cloud-only", "recserve"]
    for row in rows.values():
        assert sum(int(row[f"served_by_{tier}"]) for tier in ("device", "edge", "cloud")) == 20_000
    assert int(rows["cloud-only"]["served_by_cloud"]) == 20_000
    assert float(rows["recserve"]["latency_ms_p50"]) < float(rows["cloud-only"]["latency_ms_p50"])
