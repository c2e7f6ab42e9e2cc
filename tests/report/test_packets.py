"""What is printed of frames: a line for each, its bytes by cause, and sums that are the run's own."""

from __future__ import annotations

import re
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.report.captures import find_capture
from testbed.report.packets import print_packets
from testbed.results.captures import put_away
from testbed.results.columns import LINKS
from testbed.results.directory import RunDirectory
from testbed.wire.parts import BYTE_PARTS
from testbed.wire.trace import trace
from tests import ROOT

V1 = ROOT / "tests" / "data" / "run-v1"
LINE = re.compile(r" *(-?\d+\.\d{6})  (up|down) +(\d+)  ([A-Z]+) +(\d+) +(\d*)  (\S*) +([a-z].*)")
SUM = re.compile(r"│ ([a-z ]+?) +│")


def printed(
    directory: RunDirectory,
    method: str = "recserve",
    link: str = "device1-edge1",
    colours: bool = False,
    **kw: Any,
) -> str:
    """What is printed of a link."""
    out = StringIO()
    console = Console(file=out, width=150, force_terminal=colours, highlight=False)
    print_packets(find_capture(directory, method, link), console, Reporter(Console(quiet=True)), **kw)
    return out.getvalue()


def lines(text: str) -> list[tuple[str, ...]]:
    """The cells of each frame's line."""
    return [match.groups() for line in text.splitlines() if (match := LINE.fullmatch(line))]


def sums(text: str) -> dict[str, list[int]]:
    """The figures of each row of the table at the end."""
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if SUM.match(line)]
    return {row[0]: [int(cell.replace(",", "")) for cell in row[1:] if cell] for row in rows}


@pytest.mark.parametrize("method", ["cloud-only", "recserve"])
@pytest.mark.parametrize("link", ["device1-edge1", "device2-edge1", "edge1-cloud1"])
def test_a_links_frames_are_all_there_and_sum_to_the_runs_table(method: str, link: str) -> None:
    directory = RunDirectory.open(V1)
    text = printed(directory, method, link)
    rows = [
        row for row in directory.read_table("links.parquet") if (row["method"], row["link"]) == (method, link)
    ]
    shown, found = lines(text), sums(text)
    by_way = {row["direction"]: row for row in rows}
    for place, way in enumerate(("up", "down")):
        own = [line for line in shown if line[1] == way]
        assert len(own) == by_way[way]["frames"] == found["frames"][place]
        assert sum(int(line[2]) for line in own) == by_way[way]["frame_bytes"] == found["all"][place]
        for line in own:
            assert sum(int(number) for number in re.findall(r" (\d+)(?:,|$)", line[7])) == int(line[2])
    names = ["prompt", "answer", "envelope", "instrumentation", "http headers", "packet headers",
             "tcp control", "retransmitted", "other"]  # fmt: skip
    assert list(found) == [*names, "all", "frames"]
    for name, cause in zip(names, BYTE_PARTS, strict=True):
        up, down = by_way["up"][cause], by_way["down"][cause]
        assert found[name] == [up, up, down, down]


def test_a_requests_frames_sum_to_its_row() -> None:
    directory = RunDirectory.open(V1)
    rows = directory.read_table("requests.parquet")
    crossed = [(row, hop, link) for row in rows for hop, link in enumerate(row["hops"])]
    assert len(crossed) > 30
    for row, hop, link in crossed:
        text = printed(directory, row["method"], link, request_id=row["request_id"])
        shown, found = lines(text), sums(text)
        assert len(shown) >= 2  # a request and an answer, which may acknowledge each other
        assert {line[6] for line in shown} == {row["request_id"]}
        assert found["prompt"] == [row["hop_prompt_bytes"][hop]] * 2 + [0]
        assert found["answer"] == [0] + [row["hop_answer_bytes"][hop]] * 2


def test_one_direction_and_a_limit_leave_lines_out_and_no_sum() -> None:
    directory = RunDirectory.open(V1)
    whole = lines(printed(directory))
    text = printed(directory, direction="down", limit=3)
    assert lines(text) == [line for line in whole if line[1] == "down"][:3]
    left = sum(line[1] == "down" for line in whole) - 3
    assert f"and {left} more frames, which the sums below have in them" in text
    assert sums(text)["frames"] == [left + 3]
    nothing = printed(directory, limit=0)
    assert lines(nothing) == []
    assert sums(nothing) == sums(printed(directory))


def test_each_cause_has_its_colour_on_a_terminal_and_none_in_a_pipe() -> None:
    directory = RunDirectory.open(V1)
    assert "\x1b" not in printed(directory)
    coloured = printed(directory, colours=True)
    assert "\x1b[1;32mprompt 6" in coloured
    assert "\x1b[1;36manswer 8" in coloured
    plain = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert lines(plain) == lines(printed(directory))


def test_times_are_seconds_since_the_methods_start(tmp_path: Path) -> None:
    shutil.copytree(V1, tmp_path / "run")
    directory = RunDirectory.open(tmp_path / "run")
    first_s = [float(line[0]) for line in lines(printed(directory))]
    assert first_s[0] == 0
    capture = find_capture(directory, "recserve", "device1-edge1")
    begins_ns = next(trace(capture.pcap, capture.ends)).time_ns
    manifest = directory.read_json("manifest.json")
    directory.write_json("manifest.json", manifest | {"started_ns": {"recserve": begins_ns - 250_000_000}})
    text = printed(directory)
    assert "recserve, device1-edge1; time 0 is the method's start" in text
    assert [float(line[0]) for line in lines(text)] == pytest.approx([time_s + 0.25 for time_s in first_s])


def test_a_capture_of_another_run_is_told(tmp_path: Path) -> None:
    shutil.copytree(V1, tmp_path / "run")
    directory = RunDirectory.open(tmp_path / "run")
    rows = directory.read_table("links.parquet")
    for row in rows:
        row["envelope_bytes"] += row["link"] == "edge1-cloud1" and row["direction"] == "down"
    directory.write_table("links.parquet", rows, LINKS)
    with pytest.raises(
        TestbedError, match=r"edge1-cloud1\.pcap: holds [\d,]+ bytes down of envelope, and the "
    ):
        printed(directory, "recserve", "edge1-cloud1")
    printed(directory, "recserve", "edge1-cloud1", direction="up")


def test_a_damaged_capture_is_told_in_one_sentence(tmp_path: Path) -> None:
    shutil.copytree(V1, tmp_path / "run")
    directory = RunDirectory.open(tmp_path / "run")
    pcap = find_capture(directory, "recserve", "device1-edge1").pcap
    content = pcap.read_bytes()
    pcap.write_bytes(content[:-5])
    for request_id in (None, "r000002"):
        with pytest.raises(TestbedError, match="is cut off after frame"):
            printed(directory, request_id=request_id)
    pcap.write_bytes(b"no pcap at all, by its first bytes")
    with pytest.raises(TestbedError, match="is no pcap file"):
        printed(directory)


def test_a_compressed_capture_is_printed_alike(tmp_path: Path) -> None:
    plain = RunDirectory.open(V1)
    shutil.copytree(V1, tmp_path / "run")
    packed = RunDirectory.open(tmp_path / "run")
    put_away(packed, "recserve", "compress", pytest.fail)
    assert find_capture(packed, "recserve", "device1-edge1").pcap.suffix == ".gz"
    crossed = next(
        row["request_id"]
        for row in find_capture(plain, "recserve", "edge1-cloud1").requests
        if len(row["hops"]) == 2
    )
    for asked in ({}, {"request_id": crossed}):
        assert printed(packed, **asked) == printed(plain, **asked)
