"""``make bench``: a million requests of ten thousand devices through the queues."""

from __future__ import annotations

import pytest

from tests.bench import city_bench


@pytest.mark.bench
def test_a_million_requests_of_ten_thousand_devices() -> None:
    city_bench.main(1_000_000)
