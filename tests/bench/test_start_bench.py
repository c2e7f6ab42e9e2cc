"""``make bench``: how quickly commands start."""

from __future__ import annotations

import pytest

from tests.bench import start_bench


@pytest.mark.bench
def test_commands_start() -> None:
    start_bench.main([])
