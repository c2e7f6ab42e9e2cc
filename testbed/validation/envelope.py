"""``testbed validate --envelope``: how much this machine can emulate before each verdict is lost.

It makes short real runs with recorded models, with more and more requests a second, then with more and more
devices. Each run's verdicts (:mod:`testbed.results.fidelity`) say whether the machine could still do it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.host.cgroup_limits import container_limits
from testbed.host.facts import host_facts
from testbed.host.processes.run_lock import AnotherRun
from testbed.orchestrator.run import run
from testbed.results.directory import RunDirectory, utc_now
from testbed.results.fidelity import CLAIMS
from testbed.scenario.reading.units import parse_time_s
from testbed.scenario.scenario import Scenario
from testbed.validation.search import Bracket, Search

SCHEMA_VERSION = 1
REPLAY_S = 8.0
LEAST_REQUESTS, MOST_REQUESTS = 30, 8000
NODE_MEMORY_BYTES = 128 << 20
"""What a container with a recorded model and its share of links and captures take, with some to spare."""


@dataclass(frozen=True)
class Quantity:
    """What is increased; ``scenario`` makes the scenario for a value of it."""

    name: str
    start: int
    most: int
    scenario: Callable[[int], Scenario]


@dataclass(frozen=True)
class Trial:
    """One run: its value, what spoke against each claim, and how long it took."""

    quantity: str
    value: int
    seconds: float
    against: dict[str, list[str]]
    directory: str


def quantities() -> tuple[Quantity, ...]:
    """What is searched, up to what the memory of this machine's containers allows."""
    most = max(4, min(256, int(container_limits().free_bytes // NODE_MEMORY_BYTES) - 2))
    return (
        Quantity("requests a second", 32, 4096, lambda rate_per_s: _scenario(2, rate_per_s)),
        Quantity("devices", 4, most, lambda devices: _scenario(devices, 4)),
    )


def _scenario(devices: int, rate_per_s: int) -> Scenario:
    """Devices below an edge and a cloud, with so many requests a second in all, of recorded models.

    The nodes share the CPUs evenly: no CPU is promised twice.
    """
    cpus = max(0.01, math.floor(100 * container_limits().usable_cpus / (devices + 2)) / 100)
    model = {"kind": "recorded", "service": "1ms"}
    return Scenario.model_validate(
        {
            "name": "envelope",
            "task": {"kind": "classification", "dataset": "rotten_tomatoes"},
            "tiers": [
                {"name": name, "nodes": nodes, "model": model, "cpus": cpus, "memory": "128MiB"}
                for name, nodes in (("device", devices), ("edge", 1), ("cloud", 1))
            ],
            "links": [
                {"name": "access", "between": ["device", "edge"], "rate": "20mbit", "delay": "10ms"},
                {"name": "core", "between": ["edge", "cloud"], "rate": "100mbit", "delay": "10ms"},
            ],
            "methods": [{"name": "recserve", "beta": 0.3}],
            "trace": {
                "requests": min(max(int(rate_per_s * REPLAY_S), LEAST_REQUESTS), MOST_REQUESTS),
                "arrivals": {"process": "poisson", "rate": rate_per_s},
            },
            "replay": {"deadline": "10s"},
        }
    )


def launch(budget: str, out: Path | None) -> RunDirectory:
    """Run :func:`envelope` with the time that ``--budget`` gives.

    Raises:
        TestbedError: ``budget`` is no time, a run is not possible here at all, or another one is going on.
    """
    try:
        budget_s = parse_time_s(budget)
    except TestbedError as error:
        raise TestbedError(f"--budget: {error}") from None
    return envelope(budget_s, out, Reporter())


def envelope(
    budget_s: float, out: Path | None, reporter: Reporter, wanted: Sequence[Quantity] | None = None
) -> RunDirectory:
    """Search each quantity within its share of ``budget_s``. A run that has begun is finished.

    Args:
        wanted: what to search; :func:`quantities` by default.

    Raises:
        TestbedError: the very first run failed, or another run is going on.
    """
    directory = RunDirectory.create(out, "envelope")
    found = _Found(directory)
    end_s = time.monotonic() + budget_s
    wanted = quantities() if wanted is None else wanted
    for number, quantity in enumerate(wanted):
        share_s = (end_s - time.monotonic()) / (len(wanted) - number)
        search = Search(CLAIMS, quantity.start, quantity.most)
        _search(quantity, search, time.monotonic() + share_s, found, reporter)
    found.conclude()
    return directory


def _search(quantity: Quantity, search: Search, end_s: float, found: _Found, reporter: Reporter) -> None:
    longest_s = 0.0
    while (value := search.next()) is not None and time.monotonic() + longest_s < end_s:
        left_s = max(0.0, end_s - time.monotonic())
        reporter.say(f"{value} {quantity.name}; {left_s:.0f} s of the budget are left for them")
        trial = _try(quantity, value, found, reporter)
        longest_s = max(longest_s, trial.seconds)
        search.note(value, trial.against)
        found.note(trial, search.brackets)


def _try(quantity: Quantity, value: int, found: _Found, reporter: Reporter) -> Trial:
    """Make one run. One that fails counts against every claim.

    Raises:
        AnotherRun: another run is going on.
        TestbedError: the very first run failed.
    """
    started_s = time.monotonic()
    path = found.directory.path / f"{quantity.name.split()[0]}-{value}"
    against: dict[str, list[str]]
    try:
        fidelity = run(quantity.scenario(value), path, reporter).read_json("fidelity.json")
        against = {claim: list(fidelity["reasons"][claim]) for claim in CLAIMS}
    except TestbedError as error:
        if isinstance(error, AnotherRun) or not found.trials:
            raise
        against = {claim: [str(error)] for claim in CLAIMS}
    return Trial(quantity.name, value, time.monotonic() - started_s, against, path.name)


class _Found:
    """What the search has shown so far, written to disk after each run."""

    def __init__(self, directory: RunDirectory) -> None:
        self.directory = directory
        self.trials: list[Trial] = []
        self._brackets: dict[str, list[Bracket]] = {}
        self._manifest: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "kind": "envelope",
            "status": "cut off",
            "started_at": utc_now(),
            "host": host_facts(),
        }
        self._write()

    def note(self, trial: Trial, brackets: list[Bracket]) -> None:
        self.trials.append(trial)
        self._brackets[trial.quantity] = brackets
        self._write()

    def conclude(self) -> None:
        self._manifest |= {"status": "finished", "ended_at": utc_now()}
        self._write()
        self.directory.seal()

    def _write(self) -> None:
        self.directory.write_json("manifest.json", self._manifest)
        self.directory.write_json(
            "envelope.json",
            {
                "schema_version": SCHEMA_VERSION,
                "brackets": {
                    name: [asdict(bracket) for bracket in brackets]
                    for name, brackets in self._brackets.items()
                },
                "trials": [asdict(trial) for trial in self.trials],
            },
        )
