"""However a program ends, it says so in one sentence, and a signal lets it clean up first."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys

import pytest
from safetensors import SafetensorError

from testbed.errors import TestbedError
from testbed.host.processes.program import explained
from testbed.host.processes.signals import terminable, undisturbed

WAITING = """
import time
from testbed.host.processes.program import program
with program("waiting"):
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("cleaned", flush=True)
"""


def waiting(*before: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [*before, sys.executable, "-c", WAITING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(
    ("number", "word"),
    [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated"), (signal.SIGHUP, "terminated")],
)
def test_a_signal_lets_it_clean_up_and_is_its_status(number: signal.Signals, word: str) -> None:
    process = waiting()
    process.send_signal(number)
    assert process.communicate(timeout=60) == ("cleaned\n", f"waiting: {word}\n")
    assert process.returncode == 128 + number


def test_a_terminal_that_goes_away_ends_nothing_under_nohup() -> None:
    process = waiting("nohup")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM


def test_a_second_hang_up_does_not_disturb_the_clean_up_of_the_first() -> None:
    def hang_up_twice() -> None:
        with terminable():
            try:
                signal.raise_signal(signal.SIGHUP)
            finally:
                signal.raise_signal(signal.SIGHUP)
                cleaned.append(True)

    cleaned: list[bool] = []
    with pytest.raises(BaseException, match="1"):
        hang_up_twice()
    assert cleaned
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL


def test_an_interrupt_while_cleaning_up_waits_for_its_end() -> None:
    done = []

    def clean_up() -> None:
        with undisturbed():
            signal.raise_signal(signal.SIGINT)
            done.append("cleaned up")

    with pytest.raises(KeyboardInterrupt):
        clean_up()
    assert done


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (TestbedError("links.core: no rate"), "links.core: no rate"),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/x/y"),
            "/x/y: no space left; free some and run again",
        ),
        (
            SafetensorError('IoError(Os { code: 28, message: "No space left on device" })'),
            "the disk: no space left; free some and run again",
        ),
        (
            OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "/x/y"),
            "/x/y: the disk quota is used up; free some and run again",
        ),
        (
            SafetensorError('IoError(Os { code: 122, message: "Disk quota exceeded" })'),
            "the disk: the disk quota is used up; free some and run again",
        ),
        (OSError(errno.ENOSPC, "Speicher voll", "/x"), "/x: no space left; free some and run again"),
        (TestbedError("the registry: quota exceeded for pulls"), "the registry: quota exceeded for pulls"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "/x: Permission denied"),
        (ConnectionError("gone"), "the system: gone"),
        (
            subprocess.TimeoutExpired(["e2fsck", "-fn"], 300.0),
            "e2fsck was not done after 300 s; is this host very busy?",
        ),
        (ValueError("a defect"), None),
    ],
)
def test_what_the_host_lacks_is_a_sentence_and_a_defect_is_none(
    error: Exception, sentence: str | None
) -> None:
    assert explained(error) == sentence
