"""How fast a network of containers comes up and goes down again.

    python -m tests.bench.network_bench [--containers 20] [--rounds 3] [--image IMAGE] [--namespaces]

A tree of devices, edges and one cloud, each container in it linked to its parent by a shaped link. What runs
in the containers is ``sleep``, so that the network is measured and not a model; by default in the tier image.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from testbed.network.network import Network
from testbed.scenario.layout import parent_number
from testbed.scenario.topology import Link, Node, Shape, Topology, node_ip, node_mac
from tests.network.lab import asleep, run_id

SHAPE = Shape(20_000_000, queue_frames=100)


@dataclass(frozen=True)
class Round:
    """One network, and how many CPUs of the machine were busy with anything while it came up."""

    up_s: float
    down_s: float
    busy_cpus: float


def tree(containers: int) -> Topology:
    """About one edge for five devices, and one cloud."""
    edges = max(1, containers // 6)
    counts = {"device": containers - edges - 1, "edge": edges, "cloud": 1}
    tiers = list(counts)
    nodes: list[Node] = []
    for level, tier in enumerate(tiers):
        for number in range(1, counts[tier] + 1):
            parent = None
            if level + 1 < len(tiers):
                above = tiers[level + 1]
                parent = f"{above}{parent_number(number, counts[tier], counts[above])}"
            place = len(nodes) + 1
            nodes.append(
                Node(f"{tier}{number}", tier, level, number, node_ip(place), node_mac(place), parent)
            )
    links = [
        Link(f"{node.name}-{node.parent}", "access", number, node.name, node.parent, SHAPE, SHAPE)
        for number, node in enumerate(nodes, 1)
        if node.parent is not None
    ]
    return Topology(tuple(nodes), tuple(links))


def measure(topology: Topology, image: str | None) -> Round:
    """Bring it up, see that every container reaches its parent, take it down."""
    hosts = "container" if image else "namespace"
    network = Network(
        topology,
        run_id(),
        image=image,
        containers=asleep(topology),
        hosts=hosts,  # type: ignore[arg-type]
    )
    busy, start = busy_s(), time.perf_counter()
    with contextlib.ExitStack() as stack:
        stack.enter_context(network)
        up_s = time.perf_counter() - start
        busy_cpus = (busy_s() - busy) / up_s
        start = time.perf_counter()
    return Round(up_s, time.perf_counter() - start, busy_cpus)


def busy_s() -> float:
    """CPU seconds that the machine has spent on anything so far (proc(5), ``/proc/stat``)."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:8]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def report(containers: int, rounds: int, image: str | None) -> None:
    """Print the figures of each round and the best."""
    topology = tree(containers)
    what = f"containers of {image}" if image else "bare namespaces"
    print(
        f"{containers} {what}, {len(topology.links)} shaped links; {os.cpu_count()} CPUs, "
        f"load {os.getloadavg()[0]:.1f} before"
    )
    done = []
    for number in range(1, rounds + 1):
        done.append(measure(topology, image))
        print(
            f"  round {number}: up {done[-1].up_s:.2f} s, down {done[-1].down_s:.2f} s, "
            f"{done[-1].busy_cpus:.1f} CPUs busy (all processes) while it came up"
        )
    best_up, best_down = min(times.up_s for times in done), min(times.down_s for times in done)
    print(
        f"  best: up {best_up:.2f} s, down {best_down:.2f} s "
        "(a comparable emulator: 5.3 s and 1.6 s for 20 containers on 2 CPUs; aim: half)"
    )


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--containers", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--image")
    parser.add_argument("--namespaces", action="store_true", help="bare namespaces instead of containers")
    options = parser.parse_args(argv)
    image = options.image
    if image is None and not options.namespaces:
        from testbed.host.image import ensure_image

        image = ensure_image(print).tag
    report(options.containers, options.rounds, image)


if __name__ == "__main__":
    main(sys.argv[1:])
