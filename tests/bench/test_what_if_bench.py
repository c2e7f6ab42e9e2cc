"""``make bench``: how fast what-if evaluates points, and what a window costs."""

from __future__ import annotations

import pytest

from tests.bench import what_if_bench


@pytest.mark.bench
def test_a_thousand_points_of_ten_thousand_requests() -> None:
    what_if_bench.main(1000)
