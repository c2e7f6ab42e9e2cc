"""One run at a time, unless told otherwise; and who is alive."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.host.processes import run_lock as locks


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of lock files of our own, for tests without root."""
    monkeypatch.setattr(locks, "RUNS", tmp_path)
    return tmp_path


def other_run(runs: Path, run_id: str, pid: int) -> object:
    """A lock file held through a descriptor of its own, as another process would."""
    file = (runs / f"{run_id}.lock").open("w")
    fcntl.flock(file, fcntl.LOCK_EX)
    file.write(f"{pid}\n")
    file.flush()
    return file


def test_a_second_run_is_refused_in_one_sentence_that_names_the_first(runs: Path) -> None:
    held = other_run(runs, "aaaa", 4321)
    with (
        pytest.raises(TestbedError, match=r"another run \(aaaa\) is going on in process 4321"),
        locks.run_lock("bbbb"),
    ):
        pass
    del held


def test_a_second_run_is_let_in_if_told_so(runs: Path) -> None:
    held = other_run(runs, "aaaa", 4321)
    with locks.run_lock("bbbb", allow_others=True):
        assert locks.live_runs() == {"aaaa": 4321, "bbbb": os.getpid()}
    del held


def test_a_run_of_the_same_name_is_never_let_in(runs: Path) -> None:
    held = [other_run(runs, "aaaa", 1234), other_run(runs, "bbbb", 4321)]
    with pytest.raises(TestbedError, match=r"\(bbbb\).* 4321"), locks.run_lock("bbbb", allow_others=True):
        pass
    del held


def test_the_file_of_a_run_that_was_killed_stops_no_one(runs: Path) -> None:
    (runs / "aaaa.lock").write_text("4321\n")
    with locks.run_lock("bbbb"):
        assert list(locks.live_runs()) == ["bbbb"]


def test_a_run_may_enter_its_own_lock_again_and_leaves_no_file(runs: Path) -> None:
    with locks.run_lock("aaaa"):
        with locks.run_lock("aaaa"):
            pass
        assert list(locks.live_runs()) == ["aaaa"]
    assert not (runs / "aaaa.lock").exists()


@pytest.mark.parametrize("name", ["", "abc", "abcde", "AB12", "a/..", "ab-1"])
def test_a_run_id_is_four_letters_or_digits(name: str) -> None:
    with pytest.raises(TestbedError, match="four letters or digits"), locks.run_lock(name):
        pass
