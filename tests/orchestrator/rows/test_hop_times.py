"""Hop times against what they must be: the link's delay, and the capture's own clock between its frames."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from scapy.layers.inet import TCP
from scapy.layers.l2 import Ether
from scapy.utils import PcapReader

from testbed.network.network import Network
from testbed.orchestrator.nodes.control import NodeControl
from testbed.orchestrator.nodes.tier_process import environment, tier_processes
from testbed.orchestrator.replay.replay import replay
from testbed.orchestrator.rows.requests import request_rows, with_lives
from testbed.results.columns import RequestRow
from testbed.scenario.expected import serialisation_ms
from testbed.scenario.topology import Shape
from testbed.scenario.workload.datasets import Example
from testbed.scenario.workload.trace_file import Request
from testbed.wire.capture import Capture
from tests.network.lab import tree, up
from tiers.protocol import TIER_PORT

LINK = "device1-edge1"
UP, DOWN = Shape(2_000_000, delay_ms=30, loss=0.04), Shape(2_000_000, delay_ms=30)
PROMPT_BYTES = 5_000
REQUESTS = 50
TICK_MS = 25
"""What the time of a segment that was sent again is known to: ``tcpi_last_data_recv`` counts ticks."""


@contextmanager
def tier(network: Network, node: str, parent: str, round_trip_s: float = 0.0) -> Iterator[NodeControl]:
    """A recorded tier in a process of its own in the node's namespace."""
    config = {
        "node": node,
        "tier": node[:-1],
        "tiers": ["device", "edge", "cloud"],
        "model": {"kind": "recorded", "default": {"service_ms": 1}},
        "task": {"kind": "classification", "labels": ["negative", "positive"]},
        "parent": f"{network.topology.node(parent).ip}:{TIER_PORT}",
        "round_trip_s": round_trip_s,
    }
    with tier_processes({node: network.node(node).netns_path}, {node: environment(config)}) as (control,):
        control.reset("casserve", {"policy": "casserve", "thresholds": {"device": 1.0, "edge": 0.0}})
        yield control


@dataclass
class Sent:
    """Frames with payload of one request: when the wire's tap saw them, and their sequence numbers."""

    up: list[tuple[float, int]] = field(default_factory=list)
    down: list[tuple[float, int]] = field(default_factory=list)
    first_bytes: dict[str, int] = field(default_factory=dict)

    def span_ms(self, direction: str) -> float:
        frames = getattr(self, direction)
        return float(frames[-1][0] - frames[0][0]) * 1000

    def expected_ms(self, direction: str) -> float:
        """One frame serialised before the tap sees the first, and the way after it has seen the last."""
        shape = UP if direction == "up" else DOWN
        first_ms = serialisation_ms(self.first_bytes[direction], shape.rate_bps)
        return first_ms + self.span_ms(direction) + shape.delay_ms

    @property
    def repeated(self) -> bool:
        return len({seq for _, seq in self.up}) < len(self.up)


def read(pcap: Path, child_mac: str) -> dict[str, Sent]:
    """The frames of each request; in lockstep, all that follow a request's head are of that request."""
    by_request: dict[str, Sent] = {}
    current = Sent()
    with PcapReader(str(pcap)) as frames:
        for frame in frames:
            payload = bytes(frame[TCP].payload) if TCP in frame else b""
            if not payload:
                continue
            direction = "up" if frame[Ether].src == child_mac else "down"
            if direction == "up" and b"\r\nX-Request-Id: " in payload:
                request_id = payload.partition(b"\r\nX-Request-Id: ")[2].partition(b"\r\n")[0].decode()
                current = by_request.setdefault(request_id, Sent())
            getattr(current, direction).append((float(frame.time), frame[TCP].seq))
            current.first_bytes.setdefault(direction, len(frame))
    return by_request


def replayed(network: Network, pcap: Path) -> list[RequestRow]:
    link, ids = network.link(LINK), [f"r{number:03d}" for number in range(REQUESTS)]
    trace = [Request(name, 0.0, "device1", "rotten_tomatoes", "test", 1) for name in ids]
    prompts = {name: f"{name} ".ljust(PROMPT_BYTES, "x") for name in ids}
    with ExitStack() as stack:
        edge = stack.enter_context(tier(network, "edge1", "cloud1"))
        device = stack.enter_context(tier(network, "device1", "edge1"))
        capture = stack.enter_context(Capture(link.capture_interface, link.netns_path, pcap, UP.rate_bps))
        namespaces = {"device1": network.node("device1").netns_path}
        before = sum(counters.frames for counters in link.counters().values())
        outcomes = replay(trace, prompts, namespaces, mode="lockstep", deadline_s=30)
        device.disconnect()
        time.sleep(0.5)
        capture.stop(sum(counters.frames for counters in link.counters().values()) - before)
        records = {"device1": device.records(), "edge1": edge.records()}
    examples = {name: Example(1, prompts[name], "positive") for name in ids}
    crossed = {crossing.name: {} for crossing in network.topology.links}  # type: ignore[var-annotated]
    return request_rows("casserve", outcomes, with_lives(records, {}), examples, network.topology, crossed)


@pytest.mark.root
@pytest.mark.timeout(180)
def test_hops_take_their_delay_and_what_the_capture_saw_of_them(tmp_path: Path) -> None:
    pcap = tmp_path / "link.pcap"
    with up(tree(devices=1, up=UP, down=DOWN)) as network:
        rows = replayed(network, pcap)
        seen = read(pcap, network.topology.node("device1").mac)
    assert {row.outcome for row in rows} == {"answered"}
    late = {"up": [], "down": []}  # type: ignore[var-annotated]
    repeats = 0
    for row in rows[1:]:  # the first has the connecting in its way up
        sent, (up_ms,), (down_ms,) = seen[row.request_id], row.hop_up_ms, row.hop_down_ms
        assert up_ms is not None
        assert down_ms is not None
        assert down_ms >= DOWN.delay_ms
        late["down"].append(down_ms - sent.expected_ms("down"))
        if sent.repeated:
            repeats += 1
            assert abs(up_ms - sent.expected_ms("up")) < TICK_MS
        else:
            assert up_ms >= UP.delay_ms
            late["up"].append(up_ms - sent.expected_ms("up"))
    assert repeats >= 1
    for direction in ("up", "down"):
        assert len(late[direction]) > REQUESTS / 4
        assert abs(statistics.median(late[direction])) < 1
        assert sum(abs(late_ms) < 2 for late_ms in late[direction]) > 0.8 * len(late[direction])
