"""``make bench``: how late requests are sent, and what capturing costs."""

from __future__ import annotations

import pytest

from tests.bench import arrivals_bench, capture_bench


@pytest.mark.bench
@pytest.mark.root
def test_lateness_at_a_hundred_requests_a_second() -> None:
    arrivals_bench.main([])


@pytest.mark.bench
@pytest.mark.root
def test_cost_of_capturing() -> None:
    capture_bench.main([])
