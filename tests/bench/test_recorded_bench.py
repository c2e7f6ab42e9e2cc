"""``make bench``: what a recorded tier takes, and how fast it opens 100,000 rows."""

from __future__ import annotations

import pytest

from tests.bench import recorded_bench


@pytest.mark.bench
def test_memory_and_opening_of_a_recorded_tier() -> None:
    recorded_bench.main()
