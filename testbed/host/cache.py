"""Where downloads, images and models are kept between runs."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testbed.host.files import require_utf8


def cache_dir() -> Path:
    """The directory for what is kept between runs: ``TESTBED_CACHE``, or a default.

    Root's default is shared by all clones of the repository on the host.

    Raises:
        TestbedError: the variable's value is no UTF-8.
    """
    if override := os.environ.get("TESTBED_CACHE"):
        path = Path(override).absolute()  # Docker takes a relative mount for a volume's name
        require_utf8(path, "TESTBED_CACHE")
        return path
    if os.geteuid() == 0:
        return Path("/var/cache/llm-testbed")
    return Path.home() / ".cache" / "llm-testbed"


@contextmanager
def scratch_in(home: Path, prefix: str) -> Iterator[Path]:
    """Make a temporary directory in ``home`` for the block, and remove those that killed processes left.

    The caller holds a lock on ``home``.
    """
    for left in home.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=home, prefix=prefix, ignore_cleanup_errors=True) as made:
        yield Path(made)
