"""Captures of the backend links under one method, beside those of the WAN's, and in no sum of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Self

from testbed.network.backend import BackendLink
from testbed.results.directory import RunDirectory
from testbed.wire.capture import Capture

BUSY_BPS = 20_000_000
"""What a backend link carries in each direction at its busiest, by which the ring of its capture is made."""


class BackendCaptures:
    """Captures every backend link from its start to its end; a context manager, as each capture is."""

    def __init__(self, links: Sequence[BackendLink], directory: RunDirectory, method: str) -> None:
        self._made = [
            (
                link,
                Capture(link.capture_interface, link.netns_path, directory.pcap(method, link.name), BUSY_BPS),
            )
            for link in links
        ]
        self._stack = ExitStack()
        self._before: list[int] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for link, capture in self._made:
                stack.enter_context(capture)
                self._before.append(link.frames())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def stop(self) -> list[str]:
        """End the captures; return why they may lack frames, in sentences."""
        faults: list[str] = []
        for (link, capture), before in zip(self._made, self._before, strict=True):
            faults += capture.stop(link.frames() - before).faults
        return faults
