"""The host's files as a container gets them: what links lead to, and copies of what its user may not read."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from testbed.errors import TestbedError
from testbed.host.cache import cache_dir, scratch_in
from testbed.host.checkpoints import checkpoint_files, is_checkpoint
from testbed.host.processes.reporting import Report
from testbed.network.container import ContainerSpec
from testbed.orchestrator.nodes.extract import EXTRACTED

_COPIES = ".readable-"


def mounts_of(path: str, inside: str) -> dict[str, str]:
    """The mounts that show a file or a directory in a container as ``inside``.

    A checkpoint is mounted file by file where a link would lead out of its directory (those of the model
    hub's cache do), or where a file needs a copy.

    Raises:
        TestbedError: the checkpoint is not whole.
    """
    folder = Path(path)
    if not is_checkpoint(folder):
        return {path: inside}
    files = checkpoint_files(folder)
    if all(map(_readable, [folder, *files])) and not any(file.is_symlink() for file in files):
        return {path: inside}
    return {str(file): f"{inside}/{file.name}" for file in files}


@contextmanager
def readable(specs: Sequence[ContainerSpec], report: Report) -> Iterator[list[ContainerSpec]]:
    """Give the specs with mounts that the containers' user can read, who owns no file of the host.

    What only its owner may read (``save_pretrained`` writes weights so) is copied to a directory that is
    closed to other users. Containers must be started in the block: what they have mounted by then stays
    theirs, and leaves the disk with the last of them. The caller holds the lock of a run.

    Raises:
        TestbedError: a file cannot be copied.
    """
    sources = sorted({source for spec in specs for source in spec.mounts})
    hidden = [Path(source) for source in sources if not _readable(Path(source))]
    if not hidden:
        yield list(specs)
        return
    cache_dir().mkdir(parents=True, exist_ok=True)
    with scratch_in(cache_dir(), _COPIES) as scratch:
        copies = _copy(hidden, scratch, report)
        yield [
            replace(
                spec, mounts={copies.get(source, source): inside for source, inside in spec.mounts.items()}
            )
            for spec in specs
        ]


def remove_copies() -> list[str]:
    """Remove the copies of a run that was killed, and return what they were; no run may be going on."""
    left = sorted(path for prefix in (_COPIES, EXTRACTED) for path in cache_dir().glob(f"{prefix}*"))
    for directory in left:
        shutil.rmtree(directory, ignore_errors=True)
    return [f"copies {directory}" for directory in left]


def _readable(path: Path) -> bool:
    """Whether anybody may read a file, or list and enter a directory; true of a path that leads nowhere."""
    try:
        mode = path.stat().st_mode
    except OSError:  # said where it is mounted
        return True
    needed = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(mode) else 0)
    return mode & needed == needed


def _copy(files: Sequence[Path], into: Path, report: Report) -> Mapping[str, str]:
    """Copy files so that anybody who gets at them may read them; the copies' paths by the files'."""
    for path in files:
        if not path.is_file():
            raise TestbedError(
                f"{path} cannot be read by the containers' user; permit it with `chmod -R a+rX {path}`"
            )
    needed = sum(path.stat().st_size for path in files)
    free = shutil.disk_usage(into).free
    if needed > free:
        raise TestbedError(
            f"{files[0]} may be read by its owner alone, and {into.parent} has no room for a copy for the "
            f"containers ({needed >> 20} MiB, {free >> 20} free); permit it with `chmod a+r {files[0]}`"
        )
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    report(f"copying {files[0]}{more} for the containers ({needed >> 20} MiB): only the owner may read that")
    copies = {}
    for number, path in enumerate(files):
        copy = into / str(number)
        try:
            shutil.copyfile(path, copy)
        except OSError as error:
            raise TestbedError(
                f"{path} cannot be copied for the containers ({error.strerror}); permit them to read it with "
                f"`chmod a+r {path}`"
            ) from error
        copy.chmod(0o644)
        copies[str(path)] = str(copy)
    return copies
