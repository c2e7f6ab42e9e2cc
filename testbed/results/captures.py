"""What becomes of a method's captures once they were accounted for: they stay, are compressed, or go."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

from testbed.host.processes.reporting import Report
from testbed.results.directory import GZIPPED, RunDirectory
from testbed.scenario.scenario import Captures

_LEVEL = 1
"""Of gzip: higher ones take several times as long for a few percent."""
_CHUNK_BYTES = 1 << 20


def put_away(directory: RunDirectory, method: str, how: Captures, report: Report) -> None:
    """Do with a method's captures what the scenario says.

    Its tables are to be on disk before, for what is discarded is gone. Where the disk has no room for
    compressed captures, they stay as they are, and ``report`` says so.
    """
    if how == "keep":
        return
    for pcap in sorted((directory.path / "captures" / method).glob("*.pcap")):
        if how == "discard":
            pcap.unlink()
            continue
        try:
            _compress(pcap)
        except OSError as error:
            report(f"{pcap} stays as it is: it cannot be compressed ({error.strerror})")


def _compress(pcap: Path) -> None:
    """Compress a file; it goes only when the compressed one is whole on disk, wherever this is broken off.

    Raises:
        OSError: the disk is full; the file is as it was.
    """
    scratch = pcap.with_name(f".{pcap.name}{GZIPPED}")
    try:
        with pcap.open("rb") as plain, scratch.open("wb") as file:
            with gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packed:
                shutil.copyfileobj(plain, packed, _CHUNK_BYTES)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(pcap.with_name(f"{pcap.name}{GZIPPED}"))
    finally:
        scratch.unlink(missing_ok=True)
    folder = os.open(pcap.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # before the file goes, so that its new name outlasts a power cut
    finally:
        os.close(folder)
    pcap.unlink()
