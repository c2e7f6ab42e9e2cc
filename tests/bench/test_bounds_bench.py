"""``make bench``: what clients and tiers that misbehave cost a tier's server."""

from __future__ import annotations

import pytest

from tests.bench import bounds_bench


@pytest.mark.bench
def test_what_is_bounded() -> None:
    bounds_bench.main()
