"""Files of the kernel and of the host, which may be missing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from testbed.errors import TestbedError, disk_full_errno


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


def quick_text_of(path: str, most: int = 4096) -> str:
    """What a small file of the kernel holds, for whoever reads many beside a replay: no file object is made.

    Nothing if it cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(descriptor, most).decode(errors="replace")
    except OSError:
        return ""
    finally:
        os.close(descriptor)


def require_utf8(path: Path, what: str) -> None:
    """Refuse a path whose bytes are no UTF-8, which neither JSON nor Arrow nor Docker takes.

    Args:
        what: the option or the variable that gave it.

    Raises:
        TestbedError: it is none.
    """
    raw = os.fsencode(path)
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        shown = raw.decode("utf-8", errors="backslashreplace")
        raise TestbedError(f"{what}: {shown} is no name in UTF-8; rename it, or name another") from error


def nearest_existing(path: Path) -> Path:
    """The path itself, or the nearest above it that is there."""
    return next(parent for parent in (path, *path.parents) if parent.exists())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that whoever reads it finds the old content or the new one, and never a part."""
    with written_whole(path) as scratch:
        scratch.write_bytes(content)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Another path to write to in the block, which takes the place of ``path`` if all goes well.

    Raises:
        OSError: with ``path``, which an error of writing lacks.
    """
    scratch = path.with_name(f".{path.name}")
    try:
        yield scratch
        scratch.replace(path)
    except OSError as error:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)
        number = disk_full_errno(error) or error.errno
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error
