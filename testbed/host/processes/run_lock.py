"""Locks on files in :data:`RUNS`, which let one run at a time go on and show which runs live.

A run holds the lock on its file as long as it lives. The file of a run that was killed stays, unlocked.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import string
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from testbed.errors import TestbedError

RUNS = Path("/run/llm-testbed")

_RUN_ID = re.compile(r"[a-z0-9]{4}")
_held: dict[str, IO[str]] = {}
_holding = threading.RLock()


class AnotherRun(TestbedError):
    """Another run lives, so that this one cannot begin now."""


@contextlib.contextmanager
def run_lock(run_id: str, *, allow_others: bool = False) -> Iterator[None]:
    """Hold the lock of the run ``run_id`` in the block; the process that holds it may enter again.

    Raises:
        AnotherRun: another run lives (its process id is named) and ``allow_others`` is false, or this one
            does already in another process.
        TestbedError: the user is not root.
    """
    if not is_run_id(run_id):
        raise TestbedError(f"run id {run_id!r} is not four letters or digits")
    with _holding:
        is_outermost = run_id not in _held
        if is_outermost:
            _held[run_id] = _acquire(run_id, allow_others)
    try:
        yield
    finally:
        if is_outermost:
            with _holding:
                lock_file(run_id).unlink(missing_ok=True)
                _held.pop(run_id).close()


def live_runs() -> dict[str, int]:
    """Process id of each run that lives, by its id."""
    return {run_id: pid for run_id, (alive, pid) in known_runs().items() if alive}


def _acquire(run_id: str, allow_others: bool) -> IO[str]:
    with gate():
        others = live_runs()
        if run_id in others or (others and not allow_others):
            other = run_id if run_id in others else next(iter(others))
            pid = others[other]
            raise AnotherRun(
                f"another run ({other}) is going on in process {pid}; wait for its end, or end it with "
                f"`kill {pid}`"
            )
        file = lock_file(run_id).open("w")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.write(f"{os.getpid()}\n")
        file.flush()
        return file


@contextlib.contextmanager
def gate() -> Iterator[None]:
    """Hold the lock under which lock files are read and made; only for a moment."""
    try:
        RUNS.mkdir(parents=True, exist_ok=True)
        file = (RUNS / "gate").open("w")
    except PermissionError as error:
        raise TestbedError(f"a run needs root (cannot write to {RUNS}); run as root or with sudo") from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def known_runs() -> dict[str, tuple[bool, int]]:
    """Each run that has a lock file: whether it lives, and its process id."""
    runs = {}
    for path in sorted(RUNS.glob("*.lock")):
        if not is_run_id(path.stem):
            continue
        with contextlib.suppress(OSError, ValueError), path.open() as file:
            pid = int(file.readline() or 0)
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                runs[path.stem] = (False, pid)
            except BlockingIOError:
                runs[path.stem] = (True, pid)
    return runs


def lock_file(run_id: str) -> Path:
    """The file of a run, locked while the run lives."""
    return RUNS / f"{run_id}.lock"


def is_run_id(text: str) -> bool:
    """Whether a run may have this id: it becomes part of names, and of a path."""
    return _RUN_ID.fullmatch(text) is not None


def new_run_id() -> str:
    """Four random letters or digits."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(4))
