"""Between the machine's lines and the user's terminal: what passes in and out, and signals."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

# fmt: off
_PASSED = frozenset({
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TERM", "COLORTERM", "NO_COLOR",
    "COLUMNS", "LINES", "FORCE_COLOR", "CLICOLOR", "PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONUTF8",
    "PYTHONDONTWRITEBYTECODE", "PYTHONWARNINGS", "PYTHONHASHSEED", "PYTEST_ADDOPTS", "VIRTUAL_ENV",
    "CI", "CI_MARK", "TESTBED_CACHE", "TESTBED_BASE_IMAGE",
})
# fmt: on
_USUAL_SIZE = (24, 80)
_PASSED_PATTERN = re.compile(r"LC_[A-Z]+")


def passed_environment(outside: Mapping[str, str]) -> dict[str, str]:
    """What of an environment enters the machine: paths, language, terminal, Python's and our own settings.

    It is a list of what passes and not of what does not, since nobody knows the names of all secrets.
    """
    found = {
        name: value for name, value in outside.items() if name in _PASSED or _PASSED_PATTERN.fullmatch(name)
    }
    found.setdefault("PATH", os.defpath)
    found["TMPDIR"] = "/run/tmp"  # in the machine's memory: gone with it, whatever happens
    return found


def is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def same_file(one: int, other: int) -> bool:
    """Whether two descriptors lead to one place, so that what is written to both must stay in order."""
    try:
        return os.path.sameopenfile(one, other)
    except OSError:
        return False


def terminal_size(*descriptors: int) -> tuple[int, int]:
    """Rows and columns of the first of ``descriptors`` that is a terminal, else what is usual."""
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            size = os.get_terminal_size(descriptor)
            if size.columns > 0 and size.lines > 0:
                return size.lines, size.columns
    return _USUAL_SIZE


def file_mode_mask() -> int:
    """umask(2) of this process, read without changing it for a moment for all threads."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o022
