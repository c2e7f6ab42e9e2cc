"""Control groups that a test makes."""

from __future__ import annotations

import time
from pathlib import Path


def remove_group(group: Path) -> None:
    """Remove an empty control group; its process may have ended and not be reaped yet."""
    for _ in range(50):
        try:
            group.rmdir()
            break
        except OSError:
            time.sleep(0.1)
