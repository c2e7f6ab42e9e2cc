"""What a trace is made for: data sets, how one gives way to another, and devices with their shares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.errors import TestbedError
from testbed.scenario.draws import device_draws, stream
from testbed.scenario.reading.mistakes import nearest
from testbed.scenario.reading.units import parse_share, write_share
from testbed.scenario.scenario import load_scenario
from testbed.scenario.workload.datasets import DATASETS, Dataset

MAX_DEVICES = 10_000
DEFAULT_DEVICES = 2


@dataclass(frozen=True)
class Drift:
    """Another data set comes in on the way.

    Of the requests before the share ``begins`` none is of it, after ``ends`` all are; between them the chance
    rises in a straight line.
    """

    dataset: Dataset
    begins: float = 0.0
    ends: float = 1.0

    def chance(self, place: float) -> float:
        """That a request is of the other data set, which has the share ``place`` of all before it."""
        if place >= self.ends:
            return 1.0
        if place <= self.begins:
            return 0.0
        return (place - self.begins) / (self.ends - self.begins)

    def __str__(self) -> str:
        return f"{self.dataset.name}={write_share(self.begins)}:{write_share(self.ends)}"


@dataclass(frozen=True)
class Ground:
    """Where requests of a trace come from, and what they ask.

    Attributes:
        devices: in the order of their shares; the k-th has one proportional to ``k ** -zipf``.
    """

    dataset: Dataset
    devices: Sequence[str]
    seed: int = 1
    zipf: float = 0.0
    drift: Drift | None = None

    @property
    def datasets(self) -> list[Dataset]:
        """All that requests may be of."""
        return [self.dataset, *([self.drift.dataset] if self.drift else [])]

    def draw_devices(self) -> Iterator[str]:
        """A device for each request, without end."""
        return device_draws(self.devices, self.seed, self.zipf)

    def draw_datasets(self, requests: int) -> Iterator[Dataset]:
        """The data set of each of so many requests."""
        draws = stream(self.seed, "drift")
        for number in range(requests):
            there = self.drift is not None and draws.random() < self.drift.chance(number / requests)
            yield self.drift.dataset if self.drift and there else self.dataset

    def described(self) -> dict[str, Any]:
        """For a trace's header."""
        return {
            "datasets": [dataset.name for dataset in self.datasets],
            "drift": None if self.drift is None else str(self.drift),
            "devices": len(self.devices),
            "zipf": self.zipf,
            "seed": self.seed,
        }


def ground(
    dataset: str | None,
    scenario: Path | None,
    devices: int | None,
    seed: int | None,
    zipf: float,
    drift: str | None,
) -> Ground:
    """What a user asks for.

    Args:
        dataset: its name; without one, ``scenario`` says data set, devices and seed.
        drift: ``NAME``, ``NAME=SHARE`` or ``NAME=SHARE:SHARE``.

    Raises:
        TestbedError: both or neither is given, or something is not as it must be.
    """
    if (dataset is None) == (scenario is None):
        raise TestbedError("--dataset: give it, or --scenario, whose data set and devices are taken")
    if not 0 <= zipf <= 10:
        raise TestbedError(f"--zipf: {zipf} is not from 0 (all devices alike) to 10; 1 is usual")
    if scenario is not None:
        if devices is not None:
            raise TestbedError("--devices: the scenario says how many; leave it out")
        loaded = load_scenario(scenario)
        lowest = loaded.tiers[0]
        names = [f"{lowest.name}{number}" for number in range(1, lowest.nodes + 1)]
        data, known, seed = loaded.task.data, loaded.task.datasets, loaded.seed if seed is None else seed
    else:
        count = DEFAULT_DEVICES if devices is None else devices
        if not 1 <= count <= MAX_DEVICES:
            raise TestbedError(f"--devices: {count} is not from 1 to {MAX_DEVICES:,}")
        names = [f"device{number}" for number in range(1, count + 1)]
        known = DATASETS
        data = _dataset("--dataset", str(dataset), known)
    made = None if drift is None else _drift(drift, data, known)
    return Ground(data, names, 1 if seed is None else seed, zipf, made)


def _dataset(option: str, name: str, known: Mapping[str, Dataset]) -> Dataset:
    if name not in known:
        raise TestbedError(f"{option}: no data set {name!r}; {nearest(name, known)}")
    return known[name]


def _drift(text: str, first: Dataset, known: Mapping[str, Dataset]) -> Drift:
    name, given, shares = text.partition("=")
    other = _dataset("--drift", name, known)
    if other == first:
        raise TestbedError(f"--drift: {name} is the trace's own data set; name another")
    if (other.kind, other.labels) != (first.kind, first.labels):
        raise TestbedError(
            f"--drift: {name} is for {_task(other)}, and {first.name} for {_task(first)}; "
            "name one for the same task"
        )
    if not given:
        return Drift(other)
    begins, _, ends = shares.partition(":")
    try:
        low, high = parse_share(begins), parse_share(ends or begins)
    except TestbedError as error:
        raise TestbedError(f"--drift: {error}; write {name}=50% or {name}=20%:80%") from None
    if low > high:
        raise TestbedError(f"--drift: {begins} is after {ends}; write the smaller share first")
    return Drift(other, low, high)


def _task(dataset: Dataset) -> str:
    return dataset.kind + (f" [{', '.join(dataset.labels)}]" if dataset.labels else "")
