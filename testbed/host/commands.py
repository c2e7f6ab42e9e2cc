"""Commands of this host: where they are, and what they print."""

from __future__ import annotations

import os
import shutil
import subprocess

COMMAND_TIMEOUT_S = 5.0


def search_path() -> str:
    """``PATH``, and the places of administration and of the system, which a user's may lack."""
    return os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"


def command_path(name: str) -> str | None:
    """Where a command is on :func:`search_path`."""
    return shutil.which(name, path=search_path())


def run_command(*argv: str, timeout_s: float = COMMAND_TIMEOUT_S) -> subprocess.CompletedProcess[str] | None:
    """Run a command to its end, in the C locale and with :func:`search_path`.

    Returns ``None`` if it is missing or does not end in time.
    """
    path = command_path(argv[0])
    if path is None:
        return None
    try:
        return subprocess.run(
            [path, *argv[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            env={**os.environ, "PATH": search_path(), "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def printed_by(*argv: str, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
    """What a command prints on standard output; nothing if it is missing, fails or hangs."""
    done = run_command(*argv, timeout_s=timeout_s)
    return done.stdout if done is not None and done.returncode == 0 else ""


def first_line(*argv: str, timeout_s: float = COMMAND_TIMEOUT_S) -> str | None:
    """The first line that a command prints, ``None`` if it is missing, fails or hangs."""
    done = run_command(*argv, timeout_s=timeout_s)
    lines = (done.stdout.strip() or done.stderr.strip()).splitlines() if done is not None else []
    return lines[0].strip() if done is not None and done.returncode == 0 and lines else None
