"""Files of the kernel and of the host, which may be missing."""

from __future__ import annotations

from pathlib import Path


def text_of(path: Path) -> str:
    """What a file holds; nothing if it cannot be read, such as one of a process that has ended."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
