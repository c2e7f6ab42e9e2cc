"""Reads the frames of a pcap file, as fast as plain Python can: slices of large chunks, nothing dissected.

Format: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html (libpcap's savefile, pcap-savefile(5)).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

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
    b"\x4d\x3c\xb2\xa1": "<",  # times in nanoseconds
    b"\xa1\xb2\x3c\x4d": ">",
}
_PCAPNG = b"\x0a\x0d\x0d\x0a"

Progress = Callable[[int], None]
"""Called with the bytes of the file that were read so far."""


def read_frames(path: Path, progress: Progress | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Yield ``(buffer, offset, length)`` of each frame; it is ``buffer[offset:offset + length]``.

    Memory does not grow with the file. Either byte order, micro- or nanoseconds.

    Raises:
        TestbedError: the file cannot be read, is no Ethernet pcap, is cut off, or its frames were cut by a
        snap length.
    """
    try:
        with path.open("rb") as file:
            order = _byte_order(path, file.read(FILE_HEADER_BYTES))
            yield from _records(path, file.read, struct.Struct(order + "8xII"), progress)
    except OSError as error:
        raise TestbedError(f"{path}: cannot be read ({error.strerror}).") from error


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
    path: Path, read: Callable[[int], bytes], header: struct.Struct, progress: Progress | None
) -> Iterator[tuple[bytes, int, int]]:
    unpack = header.unpack_from
    buffer, at, read_bytes, frames = b"", 0, FILE_HEADER_BYTES, 0
    while chunk := read(_CHUNK_BYTES):
        read_bytes += len(chunk)
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
        if progress is not None:
            progress(read_bytes)
    if at != len(buffer):
        raise TestbedError(f"{path}: is cut off after frame {frames}; its capture did not end in order.")


def _bad_record(path: Path, number: int, length: int, wire_length: int) -> str:
    if length < wire_length <= _LARGEST_FRAME:
        return (
            f"{path}: frame {number} is cut to {length} of {wire_length} bytes; capture whole (tcpdump -s 0)."
        )
    return f"{path}: frame {number} has impossible lengths ({length}, {wire_length}); the file is damaged."
