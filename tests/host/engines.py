"""A Docker engine of a test's own, beside the host's."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testbed.host.engine import Paths, stop_engine_if_ours


@contextmanager
def own_engine() -> Iterator[Paths]:
    """Where an engine may be started; whatever was is ended and removed afterwards."""
    # Not under tmp_path: a socket's name has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="tbengine") as name:
        home = Path(name)
        paths = Paths(home / "state", home / "data", home / "run", home / "docker.pid", home / "docker.sock")
        try:
            yield paths
        finally:
            stop_engine_if_ours(paths)
            # Each dockerd that was killed leaves its data directory mounted on itself once more. Lazily:
            # the kernel lets go of a dead daemon's files a little after it.
            while f" {paths.data} " in Path("/proc/mounts").read_text():
                subprocess.run(["umount", "--lazy", paths.data], timeout=30, check=True)
