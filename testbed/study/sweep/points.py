"""The points of a sweep: every combination of the values given for a scenario's keys, with several seeds."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TypeVar

from testbed.errors import TestbedError
from testbed.scenario.reading.overrides import listed_settings
from testbed.scenario.scenario import Scenario, load_scenario, with_captures, with_methods, with_seed

MAX_POINTS = 10_000
Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Point:
    """One run of a sweep. ``settings`` are the values of the keys that it varies, as they were written.

    ``repeat`` counts from 0 the runs of the same settings, which differ in their seeds and in the order of
    their methods.
    """

    number: int
    settings: Mapping[str, str]
    repeat: int
    seed: int

    @property
    def name(self) -> str:
        """Of its directory."""
        return f"{self.number:04d}"

    @property
    def words(self) -> str:
        """What is particular to it, for people."""
        return ", ".join([*(f"{key}={value}" for key, value in self.settings.items()), f"seed {self.seed}"])


@dataclass(frozen=True)
class Shard:
    """One of ``of`` parts of a sweep, for as many hosts; ``number`` counts from 1."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard that is written ``2/3``.

        Raises:
            TestbedError: there is no such.
        """
        match = re.fullmatch(r"(\d{1,5})/(\d{1,5})", text.strip(), re.ASCII)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise TestbedError(f"--shard: {text!r} is no part of a whole; write it like 2/3, from 1/3 to 3/3")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def part(self, points: Sequence[Entry]) -> list[Entry]:
        """Its points: those that follow on one another, which may share a network, are in one shard."""
        first, end = (len(points) * number // self.of for number in (self.number - 1, self.number))
        return list(points[first:end])


@dataclass(frozen=True)
class Wanted:
    """What a user asks of a sweep; ``given`` has each ``key.path=a,b,…``."""

    scenario: Path
    given: Sequence[str]
    repeat: int = 1
    methods: Sequence[str] | None = None
    requests: int | None = None
    seed: int | None = None
    shard: Shard | None = None

    def part(self, points: Sequence[Entry]) -> list[Entry]:
        """The points that are to be run here."""
        return list(points) if self.shard is None else self.shard.part(points)


def points_of(wanted: Wanted) -> list[tuple[Point, Scenario]]:
    """All points with their scenarios, each of them checked; of the keys, the last varies the fastest.

    Methods go in turn: at the second repeat the second one is first, and so on, so that what a host does over
    time falls on each of them alike.

    Raises:
        TestbedError: a key without values or given twice, too many points, or a scenario that cannot be.
    """
    axes = _axes(wanted.given)
    if wanted.repeat < 1:
        raise TestbedError(f"--repeat: {wanted.repeat} is less than 1")
    total = math.prod(map(len, axes.values())) * wanted.repeat
    if total > MAX_POINTS:
        raise TestbedError(f"--set: {total:,} points are too many; at most {MAX_POINTS:,}")
    if wanted.shard is not None and wanted.shard.of > total:
        raise TestbedError(f"--shard: {wanted.shard} of {total} points leaves shards without any; take fewer")
    found: list[tuple[Point, Scenario]] = []
    for values in product(*axes.values()):
        settings = dict(zip(axes, values, strict=True))
        overrides = [f"{key}={value}" for key, value in settings.items()]
        loaded = load_scenario(
            wanted.scenario, overrides, methods=wanted.methods, requests=wanted.requests, seed=wanted.seed
        )
        loaded = with_captures(loaded, "compress")
        names = [method.name for method in loaded.methods]
        for repeat in range(wanted.repeat):
            at = repeat % len(names)
            scenario = with_methods(with_seed(loaded, loaded.seed + repeat), names[at:] + names[:at])
            found.append((Point(len(found) + 1, settings, repeat, scenario.seed), scenario))
    return found


def _axes(given: Sequence[str]) -> dict[str, list[str]]:
    """The values of each key."""
    form = "key.path=VALUES; write it like links.core.loss=0%,1%"
    axes: dict[str, list[str]] = {}
    for key, words in listed_settings(given, form).items():
        setting, values = f"{key}={','.join(words)}", [word.strip() for word in words]
        if not all(values):
            raise TestbedError(f"--set {setting}: is not {form}")
        if len(set(values)) < len(values):
            raise TestbedError(f"--set {setting}: has a value twice; --repeat 2 runs each point twice")
        axes[key] = values
    return axes
