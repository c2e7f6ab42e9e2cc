"""``make bench``: what batches bring by model, what a tier adds of its own, and whether it grows."""

from __future__ import annotations

import pytest

from tests.bench import batch_bench


@pytest.mark.bench
def test_rates_with_batches_and_without() -> None:
    batch_bench.main([])
