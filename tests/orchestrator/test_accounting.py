"""Accounting for the captures of a method: progress on large ones, and captures that cannot be read."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

from rich.console import Console

from testbed.console import Count, Reporter
from testbed.orchestrator.accounting import SHOWN_BYTES, account_captures
from testbed.wire.account import account
from tests.bench.wire_bench import Writer, make
from tests.wire.crafted import ENDS, Connection, answer, assert_exact, request, write


class Watched(Reporter):
    """Keeps the counts that its progress bar gets: how often the bar is drawn depends on the machine."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.counts: list[tuple[int, int]] = []

    @contextmanager
    def counting(self, what: str, total: int) -> Iterator[Count]:
        with super().counting(what, total) as count:

            def counted(done: int, of: int) -> None:
                self.counts.append((done, of))
                count(done, of)

            yield counted


def watched_accounting(captures: list[Path], *, terminal: bool) -> tuple[str, list[tuple[int, int]]]:
    """Account for captures; return what is printed, and the counts that the bar got."""
    out = StringIO()
    console = Console(file=out, force_terminal=terminal, width=120, highlight=False)
    watched = Watched(console)
    with Reporter(console).counting("recserve: replaying", 1):  # as in a run
        account_captures({str(path): (path, ENDS) for path in captures}, "recserve", watched)
    return out.getvalue(), watched.counts


def test_large_captures_are_watched_and_small_ones_are_not(tmp_path: Path) -> None:
    large, small = tmp_path / "large.pcap", tmp_path / "small.pcap"
    make(large, 200_000)
    write(small, Connection().frames)
    megabytes = (large.stat().st_size + small.stat().st_size) // 1_000_000
    assert megabytes * 1_000_000 >= SHOWN_BYTES
    assert "accounting" not in watched_accounting([small], terminal=True)[0]
    printed, counts = watched_accounting([small, large], terminal=True)
    assert f"recserve: accounting for {megabytes} MB" in printed
    assert re.search(rf"\d+/{megabytes}\b", printed)
    done = [count for count, _ in counts]
    assert done == sorted(done)
    assert len(set(done)) > 10
    assert counts[-1] == (megabytes, megabytes)
    printed, _ = watched_accounting([small, large], terminal=False)
    (line,) = [line for line in printed.splitlines() if "accounting" in line]
    assert f"recserve: accounting for {megabytes} MB" in line


def test_memory_does_not_grow_with_the_capture(tmp_path: Path) -> None:
    ids = [f"q{number}" for number in range(10)]  # as many requests in either
    asked = [request("p" * 50_000, request_id).wire for request_id in ids]
    answered = [answer("a" * 50_000, request_id).wire for request_id in ids]

    def peak_bytes(megabytes: int) -> int:
        pcap = tmp_path / f"{megabytes}.pcap"
        writer = Writer(pcap)
        for way, syn in ((0, 0x02), (1, 0x12)):
            writer.frame(40000, way, b"", syn)
        number = 0
        while pcap.stat().st_size < megabytes * 1_000_000:
            writer.message(40000, 0, asked[number % 10])
            writer.message(40000, 1, answered[number % 10])
            number += 1
        writer.close()
        tracemalloc.start()
        try:
            result = account(pcap, ENDS)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert_exact(result)
        assert len(result.requests) == 10
        assert sum(one.prompts for one in result.requests.values()) == number
        return peak

    small, large = peak_bytes(10), peak_bytes(40)
    assert abs(large - small) < 1_000_000


def test_a_capture_that_cannot_be_read_accounts_for_nothing_and_the_others_stand(tmp_path: Path) -> None:
    connection = Connection()
    connection.send(True, request("p").wire)
    whole = write(tmp_path / "whole.pcap", connection.frames)
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(whole.read_bytes()[:-3])
    captures = {path.stem: (path, ENDS) for path in (tmp_path / "missing.pcap", cut, whole)}
    accounts = account_captures(captures, "recserve", Reporter(Console(quiet=True)))
    missing, damaged, sound = (accounts[name] for name in ("missing", "cut", "whole"))
    assert (missing.up.frames, damaged.up.frames, sound.up.prompt_bytes) == (0, 0, 1)
    assert "cannot be read" in missing.doubts[0]
    assert "is cut off after frame" in damaged.doubts[0]
    assert not sound.doubts
