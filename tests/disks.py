"""Disks that a few MB fill."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def disk_of(size: str) -> Iterator[Path]:
    """A disk of that size in memory, such as ``3m``; needs root."""
    with tempfile.TemporaryDirectory() as path:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", path], check=True, timeout=10)
        try:
            yield Path(path)
        finally:
            subprocess.run(["umount", "-l", path], check=True, timeout=10)
