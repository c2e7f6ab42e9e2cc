"""Files of the kernel and of the host, which may be missing."""

from __future__ import annotations

import os
from pathlib import Path


def without_waiting(path: str, flags: int) -> int:
    """An opener for :func:`open`: a named pipe that nobody writes to is at its end, and is not waited for."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    return descriptor


def text_of(path: Path) -> str:
    """What a file holds; nothing if it cannot be read, such as one of a process that has ended."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
