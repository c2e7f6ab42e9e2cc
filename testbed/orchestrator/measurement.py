"""The links of a network that is up, measured at one moment; runs before and after it rest on that."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from testbed.network.measure.measure import measure
from testbed.network.measure.paths import paths_of
from testbed.network.network import Network
from testbed.scenario.reports import Finding
from testbed.scenario.topology import Link


@dataclass(frozen=True)
class Measurement:
    """What was found of each link, at ``at_s`` of ``time.monotonic()``.

    The links had the figures of ``links`` then, which are those of the run in the directory ``run``.
    """

    findings: Sequence[Finding]
    at_s: float
    run: str
    links: Sequence[Link]

    def notes(self, when: Literal["before", "after"], links: Sequence[Link]) -> Iterator[str]:
        """A sentence for a run with these links, if they had other figures than its own."""
        if self.links != links:
            yield (
                f"{when} the replay, the links were measured with the figures of run {self.run}, which had "
                "the same network up, and not with this run's: what was measured shows that the emulator "
                "does what it is told"
            )


def measure_links(network: Network, seed: int, number: int, run: str) -> Measurement:
    """Measure all links, with the figures that they have now.

    Args:
        number: of the measurement, since the network came up; it and the ``seed`` decide what is lost.
        run: the name of the directory of the run whose figures they are.

    Raises:
        TestbedError: the links or the link process do not work any more.
    """
    links = network.topology.links
    findings: Sequence[Finding] = []
    if links:
        findings = measure(paths_of(network), network.link_process, seed, f"measurement-{number}")
    return Measurement(findings, time.monotonic(), run, links)
