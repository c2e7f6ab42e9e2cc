"""``make bench``: what a run costs beside its replay, and how fast a capture is accounted for."""

from __future__ import annotations

import pytest

from tests.bench import run_bench, wire_bench


@pytest.mark.bench
@pytest.mark.docker
def test_overhead_of_the_quickstart() -> None:
    run_bench.main("scenarios/quickstart.yaml")


@pytest.mark.bench
def test_frames_per_second_beside_tshark() -> None:
    wire_bench.main([])
