"""Holds a run's tables against its captures, counted again by scapy (:mod:`testbed.wire.recount`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from testbed.console import Reporter
from testbed.results.columns import Row
from testbed.results.directory import RunDirectory
from testbed.scenario.sections.events import flow_ports
from testbed.scenario.topology import DIRECTIONS, Direction, Link, Topology
from testbed.wire.recount import REASSEMBLED, Recount, recount

_ALWAYS = ("frames", "frame_bytes")
"""Columns that need no reassembly."""
_MEGABYTE = 1_000_000


@dataclass
class WireAudit:
    """What scapy's reading of all captures says of the run's tables.

    Attributes:
        captures: how many were read.
        texts: prompts and answers of requests that came out as in ``requests.parquet``, by link.
        differences: a sentence for each figure that came out otherwise.
        lacks: a sentence for each capture that scapy did not put together as a whole.
    """

    captures: int = 0
    texts: int = 0
    differences: list[str] = field(default_factory=list)
    lacks: list[str] = field(default_factory=list)


def audit_wire(directory: RunDirectory, reporter: Reporter) -> WireAudit:
    """Count every capture of a run again, and compare with ``links.parquet`` and ``requests.parquet``.

    Sums of a link are compared where scapy put all of its capture together, each request's texts wherever it
    put them together.

    Raises:
        TestbedError: a capture is gone, or a file is damaged.
    """
    with directory.understood():
        scenario = directory.read_scenario()
        requests = directory.read_table("requests.parquet")
        by_link: dict[tuple[str, str], dict[str, Row]] = {}
        for row in directory.read_table("links.parquet"):
            by_link.setdefault((row["method"], row["link"]), {})[row["direction"]] = row
    pcaps = {key: directory.capture(*key) for key in by_link}
    topology, ports = scenario.topology, flow_ports(scenario.events)
    links = {link.name: link for link in topology.links}
    audited, done_bytes = WireAudit(), 0
    total_mb = sum(pcap.stat().st_size for pcap in pcaps.values()) // _MEGABYTE + 1
    with reporter.counting(f"scapy reads {total_mb} MB of captures again", total_mb) as count:
        for (method, link), pcap in pcaps.items():

            def progress(read_bytes: int, before: int = done_bytes) -> None:
                count((before + read_bytes) // _MEGABYTE, total_mb)

            found = recount(pcap, _stations(topology, links[link]), ports, progress)
            rows = [row for row in requests if row["method"] == method and link in row["hops"]]
            _compare(audited, f"{method}, {link}", found, by_link[method, link], _texts(rows, link))
            done_bytes += pcap.stat().st_size
    return audited


def _stations(topology: Topology, link: Link) -> dict[str, Direction]:
    """In which direction each MAC address sends; past a tier that is skipped, from beyond the link's ends."""
    stations: dict[str, Direction] = {node.mac: "up" for node in topology.below(link.children)}
    stations.update({node.mac: "down" for node in topology.above(link)})
    return stations


def _texts(rows: Sequence[Row], link: str) -> dict[str, dict[str, int]]:
    """Prompt and answer bytes of each request on a link, by the run's tables."""
    texts: dict[str, dict[str, int]] = {"prompt": {}, "answer": {}}
    for row in rows:
        hop = row["hops"].index(link)
        for what, of in texts.items():
            of[row["request_id"]] = row[f"hop_{what}_bytes"][hop]
    return texts


def _compare(
    audited: WireAudit,
    where: str,
    found: Recount,
    links: Mapping[str, Row],
    texts: Mapping[str, Mapping[str, int]],
) -> None:
    """Compare one capture's figures with the tables'."""
    audited.captures += 1
    for direction in DIRECTIONS:
        sums, row = found.sums[direction], links[direction]
        for column in (*_ALWAYS, *(REASSEMBLED if found.complete else ())):
            if sums[column] != row[column]:
                audited.differences.append(
                    f"{where}: scapy counts {sums[column]:,} {column} {direction}, and links.parquet has "
                    f"{row[column]:,}"
                )
    unread = set()
    for what, by_scapy in (("prompt", found.prompts), ("answer", found.answers)):
        for name, size_bytes in texts[what].items():
            read_bytes = by_scapy.get(name, 0)
            if read_bytes == size_bytes:
                audited.texts += name in by_scapy
            elif read_bytes < size_bytes and not found.complete:
                unread.add(name)
            else:
                audited.differences.append(
                    f"{where}: scapy reads {read_bytes:,} {what} bytes of {name}, and requests.parquet has "
                    f"{size_bytes:,}"
                )
        audited.differences += _strangers(where, what, by_scapy, texts[what], complete=found.complete)
    if not found.complete:
        what = ", ".join(f"{lack} ({count:,})" for lack, count in found.lacks.items())
        asked = len(texts["prompt"])
        audited.lacks.append(
            f"{where}: scapy does not put together: {what}; {asked - len(unread):,} of its {asked:,} "
            "requests are compared, its sums are not"
        )


def _strangers(
    where: str, what: str, by_scapy: Mapping[str, int], texts: Mapping[str, int], *, complete: bool
) -> Iterator[str]:
    """Texts of requests that did not cross the link, by the tables.

    An answer without an id may be of a request that was given up.
    """
    for name, size_bytes in by_scapy.items():
        if name not in texts and (name or complete):
            yield (
                f"{where}: scapy reads {size_bytes:,} {what} bytes of {name or 'a request without an id'}, "
                "and requests.parquet has none there"
            )
