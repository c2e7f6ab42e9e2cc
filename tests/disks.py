"""Disks that a few MB fill."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def disk_of(size: str, files: int | None = None) -> Iterator[Path]:
    """A disk of that size in memory, such as ``3m``, for so many ``files`` at most; needs root."""
    options = f"size={size}" if files is None else f"size={size},nr_inodes={files}"
    with tempfile.TemporaryDirectory() as path:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", path], check=True, timeout=10)
        try:
            yield Path(path)
        finally:
            subprocess.run(["umount", "-l", path], check=True, timeout=10)
