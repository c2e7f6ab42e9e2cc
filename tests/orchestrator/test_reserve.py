"""Room on the disk for a run's last words."""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.host.files import write_whole
from testbed.orchestrator.reserve import LEAST_FREE_FILES, RESERVE, Reserve
from tests.disks import disk_of


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


def test_last_words_are_written_although_the_quota_was_used_up(tmp_path: Path) -> None:
    def words() -> str:
        if (tmp_path / RESERVE).exists():
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "words")
        return "words"

    with Reserve(tmp_path, 1 << 20) as room:
        pass
    assert room.write(words) == "words"
    assert room.was_needed


@pytest.mark.root
def test_a_disk_that_takes_hardly_any_more_files_ends_the_block_and_takes_last_words() -> None:
    def fill() -> None:
        for number in range(os.statvfs(disk).f_favail - LEAST_FREE_FILES // 2):
            (disk / str(number)).touch()
        time.sleep(20)

    with disk_of("3m", files=500) as disk:
        with pytest.raises(TestbedError) as told, Reserve(disk, 1 << 20):
            fill()
        assert str(told.value) == (
            f"{disk}: no room for more files (inodes) on its disk while the run went on; "
            "make room and run again"
        )
        assert isinstance(told.value.__cause__, KeyboardInterrupt)
        for number in range(10):
            write_whole(disk / f"words{number}", b"words")
