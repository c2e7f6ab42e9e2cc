"""``make bench``: what a sweep costs between two points."""

from __future__ import annotations

import pytest

from tests.bench import sweep_bench


@pytest.mark.bench
@pytest.mark.docker
@pytest.mark.timeout(600)
def test_overhead_between_two_points() -> None:
    sweep_bench.main([])
