"""Accounts for the captures of a method's links one after the other, and shows progress.

One process does it: a link of 300 Mbit/s is accounted for many times as fast as it was captured.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.wire.account import LinkEnds, account
from testbed.wire.parts import CaptureAccount, Parts

SHOWN_BYTES = 64_000_000
"""Captures of so many bytes together take long enough, about half a second, for progress to be shown."""
_MEGABYTE = 1_000_000


def account_captures(
    captures: Mapping[str, tuple[Path, LinkEnds]], what: str, reporter: Reporter
) -> dict[str, CaptureAccount]:
    """Account for each link's capture.

    One that cannot be read accounts for nothing, with the reason as a doubt, so that all else that was
    measured stands.
    """
    sizes = [pcap.stat().st_size if pcap.exists() else 0 for pcap, _ in captures.values()]
    total = sum(sizes)
    shown = reporter.counting(f"{what}: accounting for {total // _MEGABYTE} MB", total // _MEGABYTE)
    with shown if total >= SHOWN_BYTES else nullcontext(lambda _done, _of: None) as count:
        accounts = {}
        for number, (link, (pcap, ends)) in enumerate(captures.items()):
            before = sum(sizes[:number])

            def progress(read_bytes: int, before: int = before) -> None:
                count((before + read_bytes) // _MEGABYTE, total // _MEGABYTE)

            try:
                accounts[link] = account(pcap, ends, progress)
            except TestbedError as error:
                accounts[link] = CaptureAccount(Parts(), Parts(), {}, (), (str(error),), (str(error),))
        return accounts
