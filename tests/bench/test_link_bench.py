"""``make bench``: what the link process carries, and at what cost."""

from __future__ import annotations

import pytest

from tests.bench import link_bench


@pytest.mark.bench
@pytest.mark.root
def test_frames_and_rates_of_the_link_process() -> None:
    link_bench.main([])
