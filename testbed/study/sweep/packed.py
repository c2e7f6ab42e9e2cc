"""A run directory as one stream of bytes, from the machine that made it to the one that keeps it."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from testbed.errors import TestbedError
from testbed.results.directory import RunDirectory

PIECE_BYTES = 8 << 20
_ROOM_BYTES = 64 << 20
"""Beside the archive and what is unpacked of it."""


@dataclass(frozen=True)
class Sent:
    """So many bytes of a packed run directory follow, in pieces."""

    size_bytes: int


def packed_bytes(directory: Path) -> int:
    """How long what :func:`pack` gives is."""
    files = _files(directory)
    return sum(len(_header(path, directory)) + _whole_blocks(path.stat().st_size) for path in files) + _END


def pack(directory: Path) -> Iterator[bytes]:
    """The files below a directory as a tar archive (GNU's), in pieces of ``PIECE_BYTES`` or somewhat more.

    Only one piece is in memory at a time, whatever the captures' size. Nothing may write there meanwhile.

    Raises:
        TestbedError: a file changed.
    """
    piece = bytearray()
    for part in _parts(directory):
        piece += part
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


def unpack(archive: Path, into: Path, *, sealed: bool) -> None:
    """Make the directory ``into`` of what :func:`pack` gave: all of it, or nothing.

    Only plain files below ``into`` are made, whatever the archive says of owners, links and devices.

    Args:
        sealed: whether every file must be as the run's ``SHA256SUMS`` has it.

    Raises:
        TestbedError: the archive is damaged, or would write elsewhere; ``into`` is as it was.
        OSError: no room.
    """
    scratch = into.with_name(f".{into.name}.new")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        _extract(archive, scratch)
        if sealed and (broken := RunDirectory(scratch).broken_seals()):
            raise TestbedError(f"what came back is damaged ({broken[0]}); run the point again")
        shutil.rmtree(into, ignore_errors=True)
        scratch.rename(into)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@dataclass
class Received:
    """The packed run directory of a point on its way to the file ``path``, which is made when it begins."""

    path: Path
    announced_bytes: int | None = None
    came_bytes: int = 0

    def take(self, item: Sent | bytes) -> None:
        """Take what comes: how much it will be, or a piece.

        Raises:
            TestbedError: there is no room for it, or more comes than was said.
            OSError: it cannot be written.
        """
        if isinstance(item, Sent):
            free_bytes = shutil.disk_usage(self.path.parent).free
            if 2 * item.size_bytes + _ROOM_BYTES > free_bytes:
                raise TestbedError(
                    f"{self.path.parent} has no room for a run directory ({item.size_bytes >> 20} MiB, twice "
                    f"that while it is unpacked; {free_bytes >> 20} MiB are free); make room"
                )
            self.announced_bytes = item.size_bytes
            self.path.write_bytes(b"")
            return
        self.came_bytes += len(item)
        if self.announced_bytes is None or self.came_bytes > self.announced_bytes:
            raise TestbedError("more came back than its machine had said; run the point again")
        with self.path.open("ab") as file:
            file.write(item)

    def whole(self) -> Path | None:
        """The archive; ``None`` if nothing was to come.

        Raises:
            TestbedError: not all of it came.
        """
        if self.announced_bytes is None:
            return None
        if self.came_bytes != self.announced_bytes:
            raise TestbedError(
                f"only {self.came_bytes:,} of {self.announced_bytes:,} bytes came back; run the point again"
            )
        return self.path

    def discard(self) -> None:
        """Remove the archive."""
        self.path.unlink(missing_ok=True)


_BLOCK = tarfile.BLOCKSIZE
_END = 2 * _BLOCK
"""Zeros that end an archive."""


def _whole_blocks(size_bytes: int) -> int:
    return -(-size_bytes // _BLOCK) * _BLOCK


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file() and not path.is_symlink())


def _header(path: Path, directory: Path) -> bytes:
    member = tarfile.TarInfo(str(path.relative_to(directory)))
    member.size = path.stat().st_size
    return member.tobuf(tarfile.GNU_FORMAT, "utf-8")


def _parts(directory: Path) -> Iterator[bytes]:
    # By hand: tarfile writes a file's whole content at once, which a generator cannot hand on in pieces.
    for path in _files(directory):
        size_bytes = path.stat().st_size
        yield _header(path, directory)
        with path.open("rb") as file:
            sent_bytes = 0
            while part := file.read(PIECE_BYTES):
                sent_bytes += len(part)
                yield part
        if sent_bytes != size_bytes:
            raise TestbedError(f"{path} changed while it was sent; run the point again")
        yield bytes(_whole_blocks(sent_bytes) - sent_bytes)
    yield bytes(_END)


def _extract(archive: Path, into: Path) -> None:
    try:
        with tarfile.open(archive, "r:", encoding="utf-8", errors="strict") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isreg() else None
                if content is None or member.issparse():
                    raise TestbedError(f"what came back holds {member.name!r}, which is no plain file")
                _write(content, into / _inside(member.name), member.size)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise TestbedError(f"what came back is damaged ({error}); run the point again") from error


def _inside(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise TestbedError(f"what came back would write to {name!r}, outside its directory")
    return path


def _write(content: IO[bytes], path: Path, size_bytes: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        shutil.copyfileobj(content, file)
        if file.tell() != size_bytes:
            raise tarfile.ReadError(f"{path.name} is cut short")
