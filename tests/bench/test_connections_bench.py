"""``make bench``: what idle connections cost a tier's server."""

from __future__ import annotations

import pytest

from tests.bench import connections_bench


@pytest.mark.bench
def test_a_request_beside_idle_connections() -> None:
    connections_bench.main()
