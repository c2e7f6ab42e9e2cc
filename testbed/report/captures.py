"""Finds a link's capture in a run directory, and what the run's tables say of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from testbed.errors import TestbedError
from testbed.results.columns import Row
from testbed.results.directory import RunDirectory
from testbed.scenario.reading.mistakes import nearest
from testbed.scenario.sections.events import flow_ports
from testbed.wire.account import LinkEnds, link_ends

_CLOCK_MOVED_NS = 1_000_000
"""By so much the host's clock may move over a method before it is said."""


@dataclass(frozen=True)
class Capture:
    """A link's capture under a method, and what is needed to read it."""

    directory: RunDirectory
    method: str
    link: str
    pcap: Path
    ends: LinkEnds
    started_ns: int | None
    """The method's time 0 by the clock that stamped the frames; ``None`` if the run does not say it."""
    moved_ns: int
    """By how much that clock was moved over the method."""

    @property
    def note(self) -> str:
        """What there is to know of the times."""
        if self.started_ns is None:
            return "time 0 is the first frame: this run does not say when its methods began"
        if abs(self.moved_ns) > _CLOCK_MOVED_NS:
            return f"the host's clock was moved by {self.moved_ns / 1e6:.1f} ms meanwhile, and times with it"
        return "time 0 is the method's start"

    @cached_property
    def requests(self) -> Sequence[Row]:
        """The method's rows of ``requests.parquet``."""
        rows = self.directory.read_table("requests.parquet")
        return [row for row in rows if row["method"] == self.method]

    @cached_property
    def links(self) -> dict[str, Row]:
        """The link's rows of ``links.parquet``, by direction."""
        rows = self.directory.read_table("links.parquet")
        return {
            row["direction"]: row for row in rows if (row["method"], row["link"]) == (self.method, self.link)
        }

    def request_bytes(self, request_id: str) -> tuple[int, int]:
        """Prompt and answer bytes of a request on the link, by ``requests.parquet``.

        Raises:
            TestbedError: the method has no such request, or it did not cross the link.
        """
        rows = {row["request_id"]: row for row in self.requests}
        if request_id not in rows:
            known = list(rows)
            otherwise = f"its requests are {known[0]} to {known[-1]}" if known else "it has none"
            mend = nearest(request_id, known, otherwise)
            raise TestbedError(f"--request: {self.method} has no request {request_id!r}; {mend}")
        row = rows[request_id]
        if self.link not in row["hops"]:
            crossed = f"only {' and '.join(row['hops'])}" if row["hops"] else "no link"
            raise TestbedError(
                f"--request: under {self.method} {request_id} did not cross {self.link}; it crossed {crossed}"
            )
        hop = row["hops"].index(self.link)
        return row["hop_prompt_bytes"][hop], row["hop_answer_bytes"][hop]


def find_capture(directory: RunDirectory, method: str, link: str) -> Capture:
    """Find the capture of a link under a method.

    Raises:
        TestbedError: the run has no such method or link, or the capture is gone.
    """
    manifest, scenario = directory.read_manifest(), directory.read_scenario()
    topology = scenario.topology
    methods = [each.name for each in scenario.methods]
    links = {each.name: each for each in topology.links}
    started_ns = manifest.get("started_ns", {}).get(method)
    before_ns, after_ns = manifest.get("clock_offsets_ns", {}).get(method, (0, 0))
    if method not in methods:
        raise TestbedError(f"{directory.path} has no method {method!r}; {nearest(method, methods)}")
    if link not in links:
        if behind := link.startswith("backend.") and directory.found_capture(method, link):
            raise TestbedError(
                f"{link} is no WAN link, and no table has its bytes; read {behind} with tshark"
            )
        raise TestbedError(f"{directory.path} has no link {link!r}; {nearest(link, links)}")
    pcap = directory.capture(method, link)
    ends = link_ends(topology, links[link], flow_ports(scenario.events))
    return Capture(directory, method, link, pcap, ends, started_ns, after_ns - before_ns)
