"""Room on the disk for a run's last words."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.orchestrator.reserve import RESERVE, Reserve


def test_room_is_taken_while_the_run_goes_on_and_free_for_its_end(tmp_path: Path) -> None:
    with Reserve(tmp_path, 1 << 20):
        assert (tmp_path / RESERVE).stat().st_blocks * 512 >= 1 << 20
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_refused_with_the_files_path(tmp_path: Path) -> None:
    with (
        pytest.raises(TestbedError, match=f"{tmp_path}/{RESERVE}: .*; make room on that disk and run again"),
        Reserve(tmp_path, 1 << 55),
    ):
        pass
    assert list(tmp_path.iterdir()) == []
