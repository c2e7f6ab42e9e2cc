"""``make bench``: how fast a recorded trace is imported, and in how much memory."""

from __future__ import annotations

import pytest

from tests.bench import trace_bench


@pytest.mark.bench
def test_a_million_rows_are_imported() -> None:
    trace_bench.main(trace_bench.ROWS)
