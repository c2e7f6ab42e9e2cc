"""scapy's reading of a run's captures is held against its tables, and each difference is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from scapy.utils import rdpcap, wrpcap

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.orchestrator.wire_audit import WireAudit, audit_wire
from testbed.report.captures import find_capture
from testbed.results.captures import put_away
from testbed.results.columns import LINKS, REQUESTS
from testbed.results.directory import RunDirectory
from testbed.results.table_shapes import PER_HOP
from testbed.scenario.scenario import Scenario
from testbed.wire.account import account
from testbed.wire.parts import BYTE_PARTS
from tests import ROOT

V1 = ROOT / "tests" / "data" / "run-v1"
WHERE = "recserve, edge1-cloud1"


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A copy of a run, to be changed."""
    shutil.copytree(V1, tmp_path / "run")
    return RunDirectory.open(tmp_path / "run")


def audited(run: RunDirectory) -> WireAudit:
    return audit_wire(run, Reporter(Console(quiet=True)))


def change(
    run: RunDirectory,
    table: str,
    of: Callable[[dict[str, Any]], bool],
    columns: str | Sequence[str],
    value: Any,
) -> None:
    """Change columns of the rows of which ``of`` is true."""
    rows = run.read_table(table)
    for row in filter(of, rows):
        row |= dict.fromkeys([columns] if isinstance(columns, str) else columns, value)
    run.write_table(table, rows, {"links.parquet": LINKS, "requests.parquet": REQUESTS}[table])


def test_a_run_is_read_again_without_a_difference(run: RunDirectory) -> None:
    found = audited(run)
    hops = [hop for row in run.read_table("requests.parquet") for hop in row["hops"]]
    assert (found.captures, found.differences, found.lacks) == (6, [], [])
    assert found.texts == 2 * len(hops)


def test_compressed_captures_are_read_alike(run: RunDirectory) -> None:
    plain = audited(run)
    put_away(run, "recserve", "compress", pytest.fail)
    assert audited(run) == plain


@pytest.mark.parametrize(
    "column",
    [
        "frames",
        "frame_bytes",
        "prompt_bytes",
        "http_header_bytes",
        "packet_header_bytes",
        "tcp_control_bytes",
    ],
)
def test_a_figure_of_a_link_that_differs_is_told(run: RunDirectory, column: str) -> None:
    key = ("recserve", "edge1-cloud1", "up")
    change(
        run,
        "links.parquet",
        lambda row: (row["method"], row["link"], row["direction"]) == key,
        column,
        12_345,
    )
    (difference,) = audited(run).differences
    assert difference.startswith(f"{WHERE}: scapy counts ")
    assert difference.endswith(f" {column} up, and links.parquet has 12,345")


def test_a_requests_text_that_differs_is_told(run: RunDirectory) -> None:
    change(run, "requests.parquet", lambda row: row["request_id"] == "r000004", "hop_answer_bytes", [8, 9])
    assert audited(run).differences == [
        "cloud-only, edge1-cloud1: scapy reads 8 answer bytes of r000004, and requests.parquet has 9",
        "recserve, edge1-cloud1: scapy reads 8 answer bytes of r000004, and requests.parquet has 9",
    ]


def test_a_request_that_the_table_has_on_no_link_is_told(run: RunDirectory) -> None:
    change(
        run,
        "requests.parquet",
        lambda row: (row["method"], row["request_id"]) == ("recserve", "r000002"),
        ["hops", *PER_HOP],
        [],
    )
    prompt, answer = audited(run).differences
    assert "prompt bytes of r000002, and requests.parquet has none there" in prompt
    assert "answer bytes of r000002, and requests.parquet has none there" in answer


def test_what_scapy_cannot_put_together_is_named_and_the_rest_compared(run: RunDirectory) -> None:
    capture = find_capture(run, "cloud-only", "edge1-cloud1")
    packets = list(rdpcap(str(capture.pcap)))
    data = [number for number, packet in enumerate(packets) if packet.haslayer("Raw") or len(packet) > 200]
    packets.insert(data[4] + 1, packets[data[4]])
    wrpcap(str(capture.pcap), packets)
    found = account(capture.pcap, capture.ends)
    rows = run.read_table("links.parquet")
    for row in rows:
        if (row["method"], row["link"]) == ("cloud-only", "edge1-cloud1"):
            parts = found.parts(row["direction"])
            row |= {name: getattr(parts, name) for name in ("frames", "frame_bytes", *BYTE_PARTS)}
    run.write_table("links.parquet", rows, LINKS)
    again = audited(run)
    assert again.differences == []
    (lack,) = again.lacks
    assert lack == (
        "cloud-only, edge1-cloud1: scapy does not put together: retransmitted segments (1); "
        "12 of its 12 requests are compared, its sums are not"
    )


def test_discarded_captures_are_told_before_any_is_read(run: RunDirectory) -> None:
    shutil.rmtree(run.path / "captures" / "recserve")
    with pytest.raises(TestbedError, match=r"has no capture of .* under recserve: they were removed"):
        audited(run)


def test_a_damaged_capture_is_told(run: RunDirectory) -> None:
    pcap = find_capture(run, "recserve", "device1-edge1").pcap
    pcap.write_bytes(pcap.read_bytes()[:-7])
    assert any("device1-edge1: scapy counts" in text for text in audited(run).differences)
    pcap.write_bytes(b"")
    with pytest.raises(TestbedError, match=r"device1-edge1\.pcap: cannot be read by scapy"):
        audited(run)


def test_frames_from_past_a_skipped_tier_go_the_way_that_they_went(run: RunDirectory) -> None:
    manifest = run.read_json("manifest.json")
    manifest["scenario"]["when_unreachable"] = "skip"
    (run.path / "manifest.json").write_text(json.dumps(manifest))
    topology = Scenario.model_validate(manifest["scenario"]).topology
    edge, cloud = (topology.node(name).mac for name in ("edge1", "cloud1"))
    pcap = run.path / "captures" / "recserve" / "device1-edge1.pcap"
    frames = rdpcap(str(pcap))
    answers = [frame for frame in frames if frame.src == edge]
    assert answers
    for frame in answers:
        frame.src = cloud
    wrpcap(str(pcap), frames)
    found = audited(run)
    assert (found.differences, found.lacks) == ([], [])
