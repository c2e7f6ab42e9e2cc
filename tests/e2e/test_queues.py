"""What is told with queues beside a run of it on the wire."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.console import Quiet
from testbed.results.directory import RunDirectory
from testbed.scenario.scenario import load_scenario
from testbed.study.queues.predict import with_queues
from tests.e2e.runs import run
from tests.study.queues.wire import CITY, measured

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]
REQUESTS = 48


def test_a_run_has_the_bytes_that_were_predicted_and_latencies_like_them(tmp_path: Path) -> None:
    found = with_queues(load_scenario(CITY, requests=REQUESTS), Quiet())
    done = run(tmp_path / "run", "--requests", str(REQUESTS), scenario=CITY)
    assert done.returncode == 0, done.stderr
    directory = RunDirectory.open(tmp_path / "run")
    assert directory.read_summary()["faithful"]["bytes"]
    for predicted in found.points:
        wire = measured(directory, predicted["method"])
        moved = 0 if predicted["method"] == "cloud-only" else 0.1  # decided in another order, a few
        assert predicted["prompt_bytes"] == pytest.approx(wire["prompt_bytes"], rel=moved)
        assert predicted["frame_bytes"] == pytest.approx(wire["frame_bytes"], rel=0.02 + moved)
        for name in ("path_ms_p50", "path_ms_p95"):  # a busy host makes them longer, and nothing shorter
            assert 0.95 * predicted[name] < wire[name] < 2 * predicted[name]
