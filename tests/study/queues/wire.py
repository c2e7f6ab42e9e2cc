"""What runs on the wire measured, beside what is predicted: ``python -m tests.study.queues.wire RUN…``.

Each RUN is of ``scenarios/city.yaml``, with other ``nodes`` or not. Each takes the place of the run of its
size in ``testbed/study/queues/validated.json``; then the tables of docs/CITY.md are made anew from that file.
:mod:`tests.study.queues.test_predict` predicts it anew. The runs, each of some minutes (N is 10, 30 or 100)::

    testbed run scenarios/city.yaml --set tiers.device.nodes=N --set tiers.edge.nodes=N/10 --out RUN
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from testbed.console import Quiet
from testbed.results.directory import RunDirectory
from testbed.scenario.scenario import Scenario, load_scenario
from testbed.study.queues.figures import percentiles
from testbed.study.queues.predict import FIGURES, VALIDATED, errors_by_devices, validated, with_queues
from tests import SCENARIOS
from tests.study.queues.page import write

CITY = SCENARIOS / "city.yaml"


def settings_of(scenario: Scenario) -> list[str]:
    """What makes the repository's scenario the run's."""
    return [f"tiers.{tier.name}.nodes={tier.nodes}" for tier in scenario.tiers]


def predicted(settings: Sequence[str]) -> dict[str, dict[str, float]]:
    """By method, the figures that the wire shows too."""
    found = with_queues(load_scenario(CITY, settings, emulated=False), Quiet())
    return {one["method"]: {name: one[name] for name in FIGURES} for one in found.points}


def measured(directory: RunDirectory, method: str) -> dict[str, float]:
    """The same of a run, from its tables."""
    rows = [row for row in directory.read_table("requests.parquet") if row["method"] == method]
    links = [row for row in directory.read_table("links.parquet") if row["method"] == method]
    assert {row["outcome"] for row in rows} == {"answered"}
    latency_ms = np.array([row["latency_ms"] for row in rows])
    own_ms = [row["lateness_ms"] + row["unexplained_ms"] + sum(row["own_ms"]) for row in rows]
    return {
        **percentiles("latency_ms", latency_ms),
        **percentiles("path_ms", latency_ms - np.array(own_ms)),
        **{name: sum(row[name] for row in links) for name in ("prompt_bytes", "frame_bytes")},
    }


def held_against(path: Path) -> dict[str, Any]:
    """One run's entry of the file."""
    directory = RunDirectory.open(path)
    scenario, manifest = directory.read_scenario(), directory.read_manifest()
    settings = settings_of(scenario)
    ours = load_scenario(CITY, settings)
    assert [ours.trace, ours.links, ours.replay] == [scenario.trace, scenario.links, scenario.replay]
    methods = []
    for name, figures in predicted(settings).items():
        of_wire = measured(directory, name)
        pairs = {key: {"measured": of_wire[key], "predicted": value} for key, value in figures.items()}
        methods.append({"method": name, **pairs})
    faithful = directory.read_summary()["faithful"]
    return {
        "devices": scenario.tiers[0].nodes,
        "settings": settings,
        "measured_at": manifest["started_at"],
        "faithful": faithful,
        "methods": methods,
    }


def main(paths: Sequence[str]) -> None:
    """Put the runs into the file, each in place of the one of its size, and its figures into the page."""
    if not paths:
        raise SystemExit("python -m tests.study.queues.wire RUN…: name the directories of runs")
    found = [*validated()["runs"], *(held_against(Path(path)) for path in paths)]
    runs = sorted({run["devices"]: run for run in found}.values(), key=lambda run: int(run["devices"]))
    VALIDATED.write_text(json.dumps({"scenario": "scenarios/city.yaml", "runs": runs}, indent=1) + "\n")
    for devices, errors in errors_by_devices().items():
        print(devices, {name: f"{error:.1%}" for name, error in errors.items()})
    write()


if __name__ == "__main__":
    main(sys.argv[1:])
