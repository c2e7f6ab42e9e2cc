"""Steps are taken once, over all calls, and what one said stays in the log."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.vagrant.trial import DEMO_LINES, NO_TIME_LEFT, StepFailed, Trial, provisioned


def _shell(command: str, log: Path, limit_s: float) -> int:
    with log.open("ab") as output:
        try:
            return subprocess.run(
                ["sh", "-c", command], stdout=output, timeout=limit_s, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            return NO_TIME_LEFT


def _carried_out(trial: Trial, command: str) -> list[str]:
    return trial.carried_out(command, lambda log, limit_s: _shell(command, log, limit_s))


def test_a_step_that_was_done_is_not_done_again_and_one_that_failed_is(tmp_path: Path) -> None:
    trial = Trial(tmp_path, time.monotonic() + 60)
    trial.step("first", lambda: _carried_out(trial, "echo one")[-1])
    with pytest.raises(StepFailed, match=r"exit 3: status 3; it said last:\ntwo"):
        trial.step("second", lambda: _carried_out(trial, "echo two; exit 3")[-1])

    again = Trial(tmp_path, time.monotonic() + 60)
    again.step("first", lambda: pytest.fail("it was done"))
    again.step("second", lambda: _carried_out(again, "echo three")[-1])
    assert [known["said"] for known in again.steps.values()] == ["one", "three"]
    assert (tmp_path / "log.txt").read_text().count("===") == 3


def test_a_step_that_finds_no_time_left_says_so_and_its_time_counts(tmp_path: Path) -> None:
    trial = Trial(tmp_path, time.monotonic() + 0.6)
    with pytest.raises(StepFailed, match="no time left"):
        trial.step("long", lambda: _carried_out(trial, "exec sleep 30")[-1])
    assert Trial(tmp_path, 0).steps["long"]["minutes"] == pytest.approx(0.01, abs=0.009)


def test_of_provisioning_its_steps_and_their_times_are_kept() -> None:
    said = ["==> package lists", "    15 s: Get:1", "    done in 16 s", "Setting up make", "==> image"]
    assert provisioned(said) == "==> package lists\n    done in 16 s\n==> image"
    assert DEMO_LINES < 100
