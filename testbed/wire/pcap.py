"""Reads the frames of a pcap file, as fast as plain Python can: slices of large chunks, nothing dissected.

A file whose name ends with ``.gz`` is decompressed on the way.

Format: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html (libpcap's savefile, pcap-savefile(5)).
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from testbed.errors import TestbedError

FILE_HEADER_BYTES = 24
RECORD_HEADER_BYTES = 16
LINKTYPE_ETHERNET = 1

_CHUNK_BYTES = 4 << 20
_LARGEST_FRAME = 1 << 20
"""Longer records are no frames (libpcap's own limit is 256 KiB): the file is damaged."""

_BYTE_ORDERS = {
    b"\xd4\xc3\xb2\xa1": "<",
    b"\xa1\xb2\xc3\xd4": ">",
    b"\x4d\x3c\xb2\xa1": "<",
    b"\xa1\xb2\x3c\x4d": ">",
}
_NANOSECONDS = (b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d")
"""The files whose times are in nanoseconds."""
_PCAPNG = b"\x0a\x0d\x0d\x0a"

Progress = Callable[[int], None]
"""Called with the bytes of the file, as it is on disk, that were read so far."""


def read_frames(
    path: Path, progress: Progress | None = None, start: int = FILE_HEADER_BYTES
) -> Iterator[tuple[bytes, int, int]]:
    """Yield ``(buffer, offset, length)`` of each frame; it is ``buffer[offset:offset + length]``.

    Memory does not grow with the file. Either byte order, micro- or nanoseconds. ``start`` is where in the
    file, once decompressed, the first frame's record begins.

    Raises:
        TestbedError: the file cannot be read, is no Ethernet pcap, is cut off, or its frames were cut by a
        snap length.
    """
    with _opened(path) as (file, on_disk):
        order = _byte_order(path, file.read(FILE_HEADER_BYTES))
        file.seek(start)
        report = None if progress is None else lambda: progress(on_disk.tell())
        chunks = iter(lambda: file.read(_CHUNK_BYTES), b"") if file is on_disk else _ahead(file.read)
        yield from _records(path, chunks, struct.Struct(order + "8xII"), report)


def _ahead(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """The chunks of a file, each decompressed on another CPU while the one before is worked on."""
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(read, _CHUNK_BYTES)
        while chunk := ahead.result():
            ahead = pool.submit(read, _CHUNK_BYTES)
            yield chunk


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes] | gzip.GzipFile, IO[bytes]]]:
    """The file's content, and the file itself, which says how far it was read.

    Raises:
        TestbedError: it cannot be read, or what is compressed is damaged.
    """
    try:
        with path.open("rb") as file:
            if path.suffix != ".gz":
                yield file, file
                return
            with gzip.GzipFile(fileobj=file) as content:
                yield content, file
    except EOFError as error:
        raise TestbedError(f"{path}: is cut off in what is compressed; take a whole copy.") from error
    except (zlib.error, gzip.BadGzipFile) as error:
        raise TestbedError(
            f"{path}: is damaged in what is compressed ({error}); take an unchanged copy."
        ) from error
    except OSError as error:
        raise TestbedError(f"{path}: cannot be read ({error.strerror}).") from error


def stamp_reader(path: Path) -> Callable[[bytes, int], int]:
    """What reads the time of a frame that :func:`read_frames` yielded, from its buffer and offset: in ns
    since 1970, by the clock of the host that captured it. Raises as :func:`read_frames`.
    """
    with _opened(path) as (file, _):
        header = file.read(FILE_HEADER_BYTES)
    unpack = struct.Struct(_byte_order(path, header) + "II").unpack_from
    unit_ns = 1 if header[:4] in _NANOSECONDS else 1000

    def stamp(buffer: bytes, at: int) -> int:
        seconds, fraction = unpack(buffer, at - RECORD_HEADER_BYTES)
        return int(seconds * 1_000_000_000 + fraction * unit_ns)

    return stamp


def count_frames(path: Path) -> tuple[int, int]:
    """Frames in the file, and their bytes. Raises as :func:`read_frames`."""
    frames = frame_bytes = 0
    for _, _, length in read_frames(path):
        frames += 1
        frame_bytes += length
    return frames, frame_bytes


def _byte_order(path: Path, header: bytes) -> str:
    if header[:4] == _PCAPNG:
        raise TestbedError(f"{path}: is a pcapng file; convert it with `editcap -F pcap IN OUT`.")
    order = _BYTE_ORDERS.get(header[:4])
    if order is None and len(header) >= 4:
        raise TestbedError(f"{path}: is no pcap file (it starts with {header[:4].hex()}).")
    if order is None or len(header) < FILE_HEADER_BYTES:
        raise TestbedError(f"{path}: is cut off inside the file header; capture it again.")
    (link_type,) = struct.unpack_from(order + "I", header, 20)
    if link_type & 0xFFFF != LINKTYPE_ETHERNET:
        raise TestbedError(
            f"{path}: holds link type {link_type & 0xFFFF}, not Ethernet (1); capture a WAN interface."
        )
    return order


def _records(
    path: Path, chunks: Iterator[bytes], header: struct.Struct, report: Callable[[], None] | None
) -> Iterator[tuple[bytes, int, int]]:
    unpack = header.unpack_from
    buffer, at, frames = b"", 0, 0
    for chunk in chunks:
        buffer, at = buffer[at:] + chunk, 0
        last = len(buffer) - RECORD_HEADER_BYTES
        while at <= last:
            length, wire_length = unpack(buffer, at)
            if length != wire_length or length > _LARGEST_FRAME:
                raise TestbedError(_bad_record(path, frames + 1, length, wire_length))
            end = at + RECORD_HEADER_BYTES + length
            if end > len(buffer):
                break
            yield buffer, at + RECORD_HEADER_BYTES, length
            frames += 1
            at = end
        if report is not None:
            report()
    if at != len(buffer):
        raise TestbedError(f"{path}: is cut off after frame {frames}; its capture did not end in order.")


def _bad_record(path: Path, number: int, length: int, wire_length: int) -> str:
    if length < wire_length <= _LARGEST_FRAME:
        return (
            f"{path}: frame {number} is cut to {length} of {wire_length} bytes; capture whole (tcpdump -s 0)."
        )
    return f"{path}: frame {number} has impossible lengths ({length}, {wire_length}); the file is damaged."
