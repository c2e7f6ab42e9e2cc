"""Room on the disk for a run's last words."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.orchestrator.reserve import RESERVE, Reserve


def test_room_is_taken_until_the_runs_last_words_are_written(tmp_path: Path) -> None:
    with Reserve(tmp_path, 1 << 20) as room:
        pass
    assert (tmp_path / RESERVE).stat().st_blocks * 512 >= 1 << 20
    assert room.write(lambda: 5) == 5
    assert not room.was_needed
    room.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.root
def test_last_words_are_written_although_the_disk_became_full_when_they_were(small_disk: Path) -> None:
    words = small_disk / "words"
    with Reserve(small_disk, 1 << 20) as room:
        pass
    with (small_disk / "others").open("wb", buffering=0) as others, suppress(OSError):
        while True:
            others.write(bytes(4096))
    with pytest.raises(OSError, match="No space left"):
        words.write_bytes(bytes(1 << 19))
    assert room.write(lambda: words.write_bytes(bytes(1 << 19))) == 1 << 19
    assert room.was_needed
    with pytest.raises(OSError, match="No space left"):  # there is no more
        room.write(lambda: words.write_bytes(bytes(1 << 21)))


def test_a_disk_without_room_is_refused_with_the_files_path(tmp_path: Path) -> None:
    with (
        pytest.raises(TestbedError, match=f"{tmp_path}/{RESERVE}: .*; make room on that disk and run again"),
        Reserve(tmp_path, 1 << 55),
    ):
        pass
    assert list(tmp_path.iterdir()) == []
