"""Captures of a method accounted for in turn: progress on large ones, and what cannot be read."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

from rich.console import Console

from testbed.accounting import SHOWN_BYTES, account_captures
from testbed.console import Reporter
from tests.bench.wire_bench import make
from tests.wire.crafted import ENDS, Connection, request, write


def told(captures: list[Path], *, terminal: bool) -> str:
    out = StringIO()
    console = Console(file=out, force_terminal=terminal, width=120, highlight=False)
    with Reporter(console).counting("recserve: replaying", 1):  # as in a run
        account_captures([(path, ENDS) for path in captures], "recserve", Reporter(console))
    return out.getvalue()


def test_large_captures_are_watched_and_small_ones_are_not(tmp_path: Path) -> None:
    large, small = tmp_path / "large.pcap", tmp_path / "small.pcap"
    make(large, 150_000)
    write(small, Connection().frames)
    megabytes = (large.stat().st_size + small.stat().st_size) // 1_000_000
    assert megabytes * 1_000_000 >= SHOWN_BYTES
    assert "accounting" not in told([small, small], terminal=True)
    said = told([small, large], terminal=True)
    assert f"recserve: accounting for {megabytes} MB" in said
    assert len(set(re.findall(rf"(\d+)/{megabytes}\b", said))) > 2
    (line,) = [line for line in told([small, large], terminal=False).splitlines() if "accounting" in line]
    assert f"recserve: accounting for {megabytes} MB" in line


def test_a_capture_that_cannot_be_read_accounts_for_nothing_and_the_others_stand(tmp_path: Path) -> None:
    connection = Connection()
    connection.send(True, request("p").wire)
    whole = write(tmp_path / "whole.pcap", connection.frames)
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(whole.read_bytes()[:-3])
    captures = [(path, ENDS) for path in (tmp_path / "missing.pcap", cut, whole)]
    missing, damaged, sound = account_captures(captures, "recserve", Reporter(Console(quiet=True)))
    assert (missing.up.frames, damaged.up.frames, sound.up.prompt_bytes) == (0, 0, 1)
    assert "cannot be read" in missing.doubts[0]
    assert "is cut off after frame" in damaged.doubts[0]
    assert not sound.doubts
