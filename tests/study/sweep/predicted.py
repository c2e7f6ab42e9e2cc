"""A sweep as runs in lockstep would leave it, as far as frontiers read it: from recorded answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from testbed.results.columns import REQUESTS, SCHEMA_VERSION
from testbed.results.directory import RunDirectory
from testbed.results.fidelity import CLAIMS
from testbed.scenario.scenario import Scenario
from testbed.scenario.workload.trace_file import write_trace
from testbed.study.sweep.directory import SweepDirectory
from testbed.study.sweep.points import Wanted, points_of
from testbed.study.what_if.replay import replay
from testbed.study.what_if.scenarios import study_of_scenario
from testbed.study.what_if.study import Point, Study
from tests import SCENARIOS
from tests.results.filled import filled

RECORDED = SCENARIOS / "recorded.yaml"


def predicted_sweep(path: Path, *given: str, repeat: int = 1, requests: int = 60) -> SweepDirectory:
    """A sweep of ``scenarios/recorded.yaml``, all of whose points are finished and to be believed."""
    wanted = Wanted(RECORDED, given, repeat, None, requests)
    points = points_of(wanted)
    sweep = SweepDirectory.open_or_create(path, wanted, [point for point, _ in points], "recorded")
    studies = {scenario.seed: study_of_scenario(scenario) for _, scenario in points[:repeat]}
    for point, scenario in points:
        _write_run(sweep.run_path(point), scenario, studies[scenario.seed])
    return sweep


def _write_run(path: Path, scenario: Scenario, study: Study) -> None:
    """A run directory without what frontiers do not read."""
    directory = RunDirectory.create(path, scenario.name)
    rows = [row for method in enumerate(scenario.methods, 1) for row in _rows(study, Point(*method))]
    directory.write_table("requests.parquet", rows, REQUESTS)
    write_trace(study.trace, path / "trace.jsonl")
    directory.write_json("summary.json", {"methods": {}, "faithful": dict.fromkeys(CLAIMS, True)})
    manifest = {"schema_version": SCHEMA_VERSION, "status": "finished", "run_id": "made", "started_at": ""}
    directory.write_json("manifest.json", {**manifest, "scenario": scenario.model_dump(mode="json")})
    directory.seal()


def _rows(study: Study, point: Point) -> Iterator[dict[str, Any]]:
    tiers, topology = list(study.tiers), study.scenario.topology
    requests = zip(study.trace, study.places.tolist(), replay(study, point).tolist(), strict=True)
    for request, place, level in requests:
        path = topology.way_up(request.device)[: level + 1]
        row = {
            "request_id": request.id,
            "method": point.method.name,
            "device": request.device,
            "path": path,
            "hops": [link.name for node in path[:-1] if (link := topology.link_up(node))],
            "outcome": "answered",
            "tier": tiers[level],
            "answer": study.tiers[tiers[level]].answers[place],
            "reference": study.references[place],
            "hop_prompt_bytes": [int(study.prompt_bytes[place])] * level,
        }
        yield filled(row)
