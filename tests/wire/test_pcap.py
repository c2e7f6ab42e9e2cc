"""Reading pcap files, whole and damaged; and how large a capture's ring is."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest
from scapy.utils import PcapNgWriter

from testbed.errors import TestbedError
from testbed.wire.account import account
from testbed.wire.capture import ring_bytes
from testbed.wire.pcap import count_frames, read_frames
from tests.wire.crafted import ENDS, Connection, request, write


def sample(path: Path, **options: object) -> Path:
    connection = Connection()
    connection.send(True, request("s" * 3000).wire)
    return write(path, connection.frames, **options)


@pytest.mark.parametrize("endianness", ["<", ">"])
@pytest.mark.parametrize("nano", [False, True])
def test_either_byte_order_and_either_precision(tmp_path: Path, endianness: str, nano: bool) -> None:
    path = sample(tmp_path / "a.pcap", endianness=endianness, nano=nano)
    assert account(path, ENDS).up.prompt_bytes == 3000


def test_an_empty_capture_is_a_capture(tmp_path: Path) -> None:
    path = write(tmp_path / "empty.pcap", [])
    assert count_frames(path) == (0, 0)
    assert account(path, ENDS).up.frames == 0


def test_every_cut_is_noticed_but_one_between_frames(tmp_path: Path) -> None:
    whole = sample(tmp_path / "a.pcap").read_bytes()
    ends = [24]
    for _, _, length in read_frames(tmp_path / "a.pcap"):
        ends.append(ends[-1] + 16 + length)
    cut = tmp_path / "cut.pcap"
    for size in {*range(0, 200), *range(200, len(whole), 97), len(whole) - 1} - set(ends):
        cut.write_bytes(whole[:size])
        with pytest.raises(TestbedError, match=r"cut\.pcap: is cut off"):
            account(cut, ENDS)


def test_foreign_files_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    for data, why in (
        (b"PK\x03\x04 a zip file, not a capture", "is no pcap file"),
        (header[:20] + struct.pack("<I", 113), "link type 113"),
        (header + struct.pack("<IIII", 0, 0, 60, 1500) + bytes(60), "cut to 60 of 1500"),
        (header + struct.pack("<IIII", 0, 0, 2**31, 2**31) + bytes(60), "damaged"),
    ):
        path.write_bytes(data)
        with pytest.raises(TestbedError, match=why):
            account(path, ENDS)
    with pytest.raises(TestbedError, match="cannot be read"):
        account(tmp_path / "missing.pcap", ENDS)


def test_a_pcapng_file_is_refused_with_the_way_to_convert_it(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    writer = PcapNgWriter(str(path))
    writer.write(Connection().frames)
    writer.close()
    with pytest.raises(TestbedError, match="editcap"):
        account(path, ENDS)


def test_frames_across_the_readers_chunks_are_whole(tmp_path: Path) -> None:
    connection = Connection()
    connection.send(True, request("k" * 700_000).wire)
    frames = connection.frames * 7
    path = write(tmp_path / "big.pcap", frames)
    assert path.stat().st_size > 4 << 20
    told: list[int] = []
    assert account(path, ENDS, told.append).up.retransmitted_frames == 6 * (len(connection.frames) - 3)
    assert told[-1] == path.stat().st_size
    assert len(told) > 1


def test_the_ring_follows_the_rate_within_bounds() -> None:
    assert ring_bytes(1_000) == 2 << 20
    assert ring_bytes(20_000_000) == 10_000_000
    assert ring_bytes(10**10) == ring_bytes(None) == 64 << 20


def test_a_compressed_capture_reads_as_the_plain_one(tmp_path: Path) -> None:
    plain, packed, places = sample(tmp_path / "a.pcap"), tmp_path / "a.pcap.gz", list[int]()
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert account(packed, ENDS, places.append) == account(plain, ENDS)
    assert places[-1] == packed.stat().st_size
    (_, _, length), *_ = frames = list(read_frames(plain))
    after_first = list(read_frames(packed, start=24 + 16 + length))
    assert [one[at : at + size] for one, at, size in after_first] == [
        one[at : at + size] for one, at, size in frames[1:]
    ]


def test_a_compressed_capture_that_is_damaged_is_told(tmp_path: Path) -> None:
    whole, path = gzip.compress(sample(tmp_path / "a.pcap").read_bytes()), tmp_path / "x.pcap.gz"
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(TestbedError, match=r"x\.pcap\.gz: is (cut off|no pcap)"):
            account(path, ENDS)
    for at in (0, 20, len(whole) // 2, len(whole) - 6):  # head, content, checksum
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        with pytest.raises(TestbedError, match=r"x\.pcap\.gz: "):
            account(path, ENDS)
