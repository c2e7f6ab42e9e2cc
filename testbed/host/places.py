"""Which places of this host a scenario, be it a stranger's, may name: files that end, of no system."""

from __future__ import annotations

import stat
from pathlib import Path

_OF_THE_KERNEL = ("/proc", "/sys", "/dev")
"""What is there looks like files, and some of it has no end, or waits for ever as ``/proc/kmsg`` does."""
_OF_THE_SYSTEM = (
    *_OF_THE_KERNEL, "/bin", "/boot", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/run", "/sbin",
    "/usr/bin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/sbin", "/var/lib/containerd",
    "/var/lib/docker", "/var/log", "/var/spool",
)  # fmt: skip
_OF_ALL = (
    "/", "/home", "/media", "/mnt", "/opt", "/root", "/srv", "/tmp", "/usr", "/usr/local", "/usr/share",
    "/var", "/var/cache", "/var/lib", "/var/tmp",
)  # fmt: skip
"""Themselves alone: what one user or program has is below them."""
_OF_USERS = ("/dev/shm", "/run/media")
"""What is below them although they are in the system's: files in memory, and disks that were plugged in."""


def unfit_file(path: Path) -> str | None:
    """Why a resolved path is no file to be read, or shown to a container; ``None`` if it is.

    Raises:
        OSError: it is not there, or cannot be looked at.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        return "is a directory"
    if not stat.S_ISREG(mode):
        return "is a pipe, a socket or a device, which has no end"
    if _is_in(path, _OF_THE_KERNEL):
        return "is the kernel's, and no file of a disk"
    return None


def unfit_folder(path: Path) -> str | None:
    """Why a resolved path is no directory to be read, or shown to a container; ``None`` if it is."""
    is_home = path.parent == Path("/home")
    if is_home or str(path) in _OF_ALL or _is_in(path, _OF_THE_SYSTEM):
        return "is a directory of the system, or of all that a user has"
    return None


def unfit_beside(path: Path) -> str | None:
    """The same of a file beside a named one, which may be a link, but to nothing of the system.

    Raises:
        OSError: it is not there, or cannot be looked at.
    """
    path.stat()  # resolving raises something else where a link leads to itself
    real = path.resolve()
    if unfit := unfit_file(real):
        return unfit
    if path.is_symlink() and _is_in(real, _OF_THE_SYSTEM):
        return f"leads to {real}, a file of the system"
    return None


def _is_in(path: Path, folders: tuple[str, ...]) -> bool:
    """Whether a path is one of the directories, or below one and not a user's."""
    return any(map(path.is_relative_to, folders)) and not any(map(path.parent.is_relative_to, _OF_USERS))
