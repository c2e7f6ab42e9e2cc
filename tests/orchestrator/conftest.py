"""What several tests of runs need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.disks import disk_of


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 3 MB."""
    with disk_of("3m") as disk:
        yield disk
