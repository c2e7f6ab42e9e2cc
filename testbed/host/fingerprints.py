"""SHA-256 sums of the files that a result depends on, and whether a file was changed since."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from testbed.errors import TestbedError

_CHUNK_BYTES = 4 << 20
Advance = Callable[[int], None]
"""Called with how many more bytes were read."""


class Version(NamedTuple):
    """What is another when a file is another or was written to; reading it takes no time."""

    device: int
    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int


_known: dict[tuple[Path, Version], str] = {}


def version_of(path: Path) -> Version | None:
    """The version of a file, links followed; ``None`` if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return Version(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def sha256_of(path: Path, advance: Advance = lambda _bytes: None) -> str:
    """The SHA-256 of a file in hexadecimal, computed once for each version of it: models are large.

    Raises:
        TestbedError: it cannot be read.
    """
    version = version_of(path)
    if version is not None and (known := _known.get((path, version))):
        return known
    whole = hashlib.sha256()
    try:
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(_CHUNK_BYTES):
                whole.update(chunk)
                advance(len(chunk))
    except OSError as error:
        raise TestbedError(f"{path} cannot be read ({error.strerror}); permit it") from error
    found = whole.hexdigest()
    if version is not None:  # of before it was read: what was written meanwhile makes another
        _known[path, version] = found
    return found


def is_known(path: Path) -> bool:
    """Whether :func:`sha256_of` need not read the file."""
    version = version_of(path)
    return version is not None and (path, version) in _known


def code_files(root: Path) -> list[Path]:
    """All files of ``testbed`` and ``tiers`` below ``root``, in their order."""
    return [
        path
        for package in ("testbed", "tiers")
        for path in sorted((root / package).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    ]


def code_sha256(root: Path) -> str:
    """One SHA-256 of them: of a line with its path and its SHA-256 for each."""
    whole = hashlib.sha256()
    for path in code_files(root):
        whole.update(f"{path.relative_to(root)} {sha256_of(path)}\n".encode())
    return whole.hexdigest()


def sha256_of_all(paths: Iterable[Path], advance: Advance = lambda _bytes: None) -> str:
    """One SHA-256 of several files: of a line with its name and a line with its SHA-256 for each."""
    whole = hashlib.sha256()
    for path in sorted(paths):
        whole.update(f"{path.name}\n{sha256_of(path, advance)}\n".encode())
    return whole.hexdigest()
