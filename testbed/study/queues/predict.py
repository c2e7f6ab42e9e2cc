"""``testbed what-if SCENARIO --queues``: a scenario's methods over queues, and how far that may be off."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from testbed.console import Reporter
from testbed.results.scorers import Scorer
from testbed.scenario.scenario import Scenario
from testbed.study.queues.figures import PERCENTS, queue_figures, troubles
from testbed.study.queues.plant import Plant, left_out
from testbed.study.queues.simulate import simulate, steps
from testbed.study.what_if.figures import Figures
from testbed.study.what_if.output import write_points
from testbed.study.what_if.scenarios import study_of_scenario
from testbed.study.what_if.study import Point

FIGURES = (
    *(f"{name}_p{percent}" for name in ("latency_ms", "path_ms") for percent in PERCENTS),
    "prompt_bytes",
    "frame_bytes",
)
"""Those that were held against the wire. ``prompt_bytes`` and ``frame_bytes`` are over all links."""
VALIDATED = Path(__file__).parent / "validated.json"
"""What runs of scenarios/city.yaml measured, beside what is predicted of them: ``python -m
tests.study.queues.wire RUN…`` writes it, and a test predicts it anew."""


@dataclass(frozen=True)
class WithQueues:
    """All methods with queues.

    Attributes:
        points: figures of each method, in the scenario's order.
        troubles: sentences on what is overloaded.
    """

    title: str
    tiers: Sequence[str]
    hops: Sequence[str]
    scorer: Scorer
    points: Sequence[Figures]
    troubles: Sequence[str]

    def write(self, path: Path) -> None:
        """Write all figures as CSV or Parquet, with the largest error of those that have one.

        Raises:
            TestbedError: the file cannot be written.
        """
        found = errors_by_devices().values()
        off = {f"{name}_error": max(of[name] for of in found) for name in FIGURES}
        write_points(path, [{**one, **off} for one in self.points])


def with_queues(scenario: Scenario, reporter: Reporter) -> WithQueues:
    """Predict what a run of a scenario with recorded tiers would do and how long its requests would take.

    Raises:
        TestbedError: a tier is not recorded, requests are not sent at the trace's times, or a policy fails.
    """
    study = study_of_scenario(scenario)
    plant = Plant.of(study)
    for note in [*study.notes, *left_out(scenario)]:
        if not note.startswith("replay.mode"):  # here requests overlap as they would
            reporter.say(note)
    points, requests = [], len(study.trace)
    for number, method in enumerate(scenario.methods, start=1):
        point, total = Point(number, method), steps(plant)
        done = 0

        def step() -> None:
            nonlocal done
            done += 1
            progress(done, total)  # noqa: B023  called before the loop goes on

        with reporter.counting(f"{method.name}: {requests:,} requests through the queues", total) as progress:
            points.append(queue_figures(study, plant, point, simulate(study, plant, point, step)))
    title = (
        f"{requests:,} requests of {plant.nodes[0]:,} nodes of {plant.tiers[0]}, "
        f"{len(np.unique(study.places)):,} prompts of {study.trace[0].dataset}, seed {scenario.seed}"
    )
    hops = [hop.tier for hop in plant.hops]
    return WithQueues(title, plant.tiers, hops, study.scorer, points, troubles(points, plant))


def validated() -> dict[str, Any]:
    """The file :data:`VALIDATED`: ``runs``, each with its ``devices`` and ``methods``."""
    found: dict[str, Any] = json.loads(VALIDATED.read_text())
    return found


def errors_by_devices() -> dict[int, dict[str, float]]:
    """By the devices of a run on the wire, and by figure, the largest error of its methods.

    It is relative to what was predicted, so that a prediction ± so much has what was measured.
    """
    found = {}
    for run in validated()["runs"]:
        of = {name: [method[name] for method in run["methods"]] for name in FIGURES}
        found[run["devices"]] = {
            name: max(abs(one["measured"] / one["predicted"] - 1) for one in each)
            for name, each in of.items()
        }
    return found


def doubted() -> list[int]:
    """The devices of those runs on the wire whose own verdict on latency is false."""
    return [run["devices"] for run in validated()["runs"] if not run["faithful"]["latency"]]
