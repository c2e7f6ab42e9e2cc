"""``make bench``: a hundred devices under two methods, by phase, memory and frames."""

from __future__ import annotations

import pytest

from tests.bench import scale_bench


@pytest.mark.bench
@pytest.mark.docker
def test_a_hundred_devices() -> None:
    scale_bench.main([])
