"""A run directory arrives as it was sent, or not at all."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.results.directory import RunDirectory
from testbed.study.sweep import packed
from testbed.study.sweep.packed import Received, Sent, pack, packed_bytes, unpack
from tests import ROOT

RUN = ROOT / "tests" / "data" / "run-v1"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory as a machine makes one, sealed."""
    shutil.copytree(RUN, tmp_path / "made")
    (tmp_path / "made" / "captures" / "recserve").mkdir(parents=True, exist_ok=True)
    (tmp_path / "made" / "captures" / "recserve" / "empty.pcap").write_bytes(b"")
    RunDirectory(tmp_path / "made").seal()
    return tmp_path / "made"


def _received(run: Path, archive: Path) -> Received:
    received = Received(archive)
    received.take(Sent(packed_bytes(run)))
    for piece in pack(run):
        received.take(piece)
    return received


def _content(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("piece_bytes", [512, 1000, 8 << 20])
def test_it_arrives_as_it_was(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece_bytes: int
) -> None:
    monkeypatch.setattr(packed, "PIECE_BYTES", piece_bytes)
    assert max(map(len, pack(run))) <= 2 * piece_bytes + 512
    archive = _received(run, tmp_path / ".0001.tar").whole()
    assert archive is not None
    (tmp_path / "0001").mkdir()
    (tmp_path / "0001" / "stale").write_text("of an earlier attempt")
    unpack(archive, tmp_path / "0001", sealed=True)
    assert _content(tmp_path / "0001") == _content(run)
    assert not list(tmp_path.glob(".0001.new*"))


def test_links_and_long_names(run: Path, tmp_path: Path) -> None:
    long = run / ("n" * 200) / ("m" * 150)
    long.mkdir(parents=True)
    (long / "Größe").write_bytes(b"x" * 513)
    (run / "leads-out").symlink_to("/etc/passwd")
    archive = _received(run, tmp_path / "tar").whole()
    assert archive is not None
    unpack(archive, tmp_path / "0001", sealed=False)
    there = _content(tmp_path / "0001")
    assert there[f"{'n' * 200}/{'m' * 150}/Größe"] == b"x" * 513
    assert "leads-out" not in there


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> Callable[[tarfile.TarFile], None]:
    def add(tar: tarfile.TarFile) -> None:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, link
        member.size = 4 if kind == tarfile.REGTYPE else 0
        tar.addfile(member, io.BytesIO(b"evil"))

    return add


@pytest.mark.parametrize(
    ("add", "why"),
    [
        (_member("../outside"), "would write to '../outside'"),
        (_member("captures/../../outside"), "would write to"),
        (_member("/tmp/outside"), "would write to '/tmp/outside'"),
        (_member("link", tarfile.SYMTYPE, "/etc"), "'link', which is no plain file"),
        (_member("link", tarfile.LNKTYPE, "../outside"), "'link', which is no plain file"),
        (_member("pipe", tarfile.FIFOTYPE), "'pipe', which is no plain file"),
        (_member("disk", tarfile.BLKTYPE), "'disk', which is no plain file"),
    ],
)
def test_nothing_is_written_elsewhere(
    tmp_path: Path, add: Callable[[tarfile.TarFile], None], why: str
) -> None:
    with tarfile.open(tmp_path / "tar", "w") as tar:
        add(tar)
    (tmp_path / "sweep").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(TestbedError, match=why):
        unpack(tmp_path / "tar", tmp_path / "sweep" / "0001", sealed=False)
    assert sorted(tmp_path.rglob("*")) == before


def _cut(archive: Path) -> None:
    with archive.open("r+b") as file:
        file.truncate(archive.stat().st_size // 2)


def _flip(archive: Path) -> None:
    content = bytearray(archive.read_bytes())
    content[archive.stat().st_size // 2] ^= 0xFF
    archive.write_bytes(content)


def _noise(archive: Path) -> None:
    archive.write_bytes(b"\x80" * 5000)


def _nothing(archive: Path) -> None:
    archive.write_bytes(bytes(1024))


@pytest.mark.parametrize("damage", [_cut, _flip, _noise, _nothing])
def test_what_is_damaged_is_refused_and_what_was_there_stays(
    run: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    archive = _received(run, tmp_path / "tar").whole()
    assert archive is not None
    damage(archive)
    (tmp_path / "0001").mkdir()
    with pytest.raises(TestbedError, match="what came back is damaged"):
        unpack(archive, tmp_path / "0001", sealed=True)
    assert list((tmp_path / "0001").iterdir()) == []
    assert not list(tmp_path.glob(".0001*"))


def test_what_comes_is_no_more_and_no_less_than_was_said(run: Path, tmp_path: Path) -> None:
    received = _received(run, tmp_path / "tar")
    with pytest.raises(TestbedError, match="more came back than its machine had said"):
        received.take(b"x")
    less = Received(tmp_path / "less")
    less.take(Sent(100))
    less.take(b"x" * 60)
    with pytest.raises(TestbedError, match="only 60 of 100 bytes came back"):
        less.whole()
    with pytest.raises(TestbedError, match="has no room for a run directory"):
        Received(tmp_path / "large").take(Sent(1 << 60))
    assert Received(tmp_path / "none").whole() is None
    less.discard()
    less.discard()
    assert not (tmp_path / "less").exists()


def test_a_file_that_grows_while_it_is_sent_is_noticed(run: Path) -> None:
    large = run / "z-last"
    large.write_bytes(bytes(1000))
    parts = packed._parts(run)
    while next(parts)[:6] != b"z-last":
        pass
    large.write_bytes(bytes(2000))
    with pytest.raises(TestbedError, match="changed while it was sent"):
        list(parts)
