"""The measurement on the testbed's own network: its links are what the scenario says."""

from __future__ import annotations

import time

import pytest

from testbed.network.measure.measure import measure
from testbed.network.measure.paths import LinkPath, paths_of, probe_path
from testbed.network.network import Network
from testbed.orchestrator.watch.probes import ProbeWatch
from testbed.scenario.topology import Link, Node, Shape, Topology
from tests.network.lab import failures


def chain(access: Shape, core: Shape) -> Topology:
    """device1 and device2 below edge1 below cloud1."""
    names = [("device1", 0, "edge1"), ("device2", 0, "edge1"), ("edge1", 1, "cloud1"), ("cloud1", 2, None)]
    nodes = tuple(
        Node(name, name[:-1], level, number, f"10.77.0.{number + 1}", f"02:77:00:00:00:{number:02x}", parent)
        for number, (name, level, parent) in enumerate(names, start=1)
    )
    links = tuple(
        Link(f"{node.name}-{node.parent}", "access" if node.level == 0 else "core", number, node.name,
             node.parent, *((access, access) if node.level == 0 else (core, core)))
        for number, node in enumerate(nodes, start=1)
        if node.parent is not None
    )  # fmt: skip
    return Topology(nodes, links)


ATTEMPTS = 3
"""A host that paused fails a measurement now and then, a link that is wrong fails it every time."""


def measured(access: Shape, core: Shape, run_id: str) -> tuple[list[str], list[LinkPath]]:
    """What was wrong in the last attempt, and the links."""
    with Network(chain(access, core), run_id, hosts="namespace") as network:
        paths = paths_of(network)
        for attempt in range(1, ATTEMPTS + 1):
            findings = measure(paths, network.link_process, attempt, f"measurement-{attempt}")
            if not (wrong := failures(findings)):
                break
    return list(map(str, wrong)), paths


@pytest.mark.root
def test_rate_only_links_are_as_configured() -> None:
    wrong, paths = measured(Shape(20_000_000), Shape(50_000_000), "fdr1")
    assert wrong == []
    assert [path.name for path in paths] == ["device1-edge1", "device2-edge1", "edge1-cloud1"]


@pytest.mark.root
def test_links_with_delay_jitter_and_loss_are_as_configured() -> None:
    access = Shape(20_000_000, delay_ms=10, jitter_ms=2)
    core = Shape(100_000_000, delay_ms=30, loss=0.02, queue_frames=500)
    wrong, _ = measured(access, core, "fdn1")
    assert wrong == []


@pytest.mark.root
def test_an_idle_link_of_the_same_shape_has_the_same_round_trip() -> None:
    shape = Shape(20_000_000, delay_ms=10)
    with Network(chain(shape, shape), "fdn2", hosts="namespace") as network:
        path = probe_path(network.add_probe(shape))
        with ProbeWatch([path], interval_s=0.05) as probe:
            time.sleep(2)
        (report,) = probe.reports
    assert report.answered == report.sent
    assert report.median_ms == pytest.approx(report.expected_ms, abs=1)
