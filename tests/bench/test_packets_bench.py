"""``make bench``: how quickly a request's frames are found and shown."""

from __future__ import annotations

import pytest

from tests.bench import packets_bench


@pytest.mark.bench
@pytest.mark.timeout(900)
def test_packets() -> None:
    packets_bench.main([])
