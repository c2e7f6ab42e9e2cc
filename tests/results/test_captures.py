"""Captures are put away as the scenario says, nothing is lost on the way, and every reader finds them."""

from __future__ import annotations

import gzip
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.results.captures import put_away
from testbed.results.directory import RunDirectory
from testbed.results.run import load_run
from tests import ROOT

METHOD, LINK = "recserve", "device1-edge1"


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A copy of a run, to be changed."""
    shutil.copytree(ROOT / "tests" / "data" / "run-v1", tmp_path / "run")
    return RunDirectory.open(tmp_path / "run")


def names(run: RunDirectory, method: str = METHOD) -> list[str]:
    return sorted(path.name for path in (run.path / "captures" / method).iterdir())


def unasked(sentence: str) -> None:
    pytest.fail(sentence)


def test_what_is_kept_is_left_alone(run: RunDirectory) -> None:
    before = names(run)
    put_away(run, METHOD, "keep", unasked)
    assert names(run) == before
    assert run.broken_seals() == []


def test_what_is_compressed_has_the_same_frames_and_is_sealed_so(run: RunDirectory) -> None:
    frames = run.capture(METHOD, LINK).read_bytes()
    put_away(run, METHOD, "compress", unasked)
    assert names(run) == [f"{link}.pcap.gz" for link in ("device1-edge1", "device2-edge1", "edge1-cloud1")]
    assert {Path(name).suffix for name in names(run, "cloud-only")} == {".pcap"}
    assert gzip.decompress(run.capture(METHOD, LINK).read_bytes()) == frames
    assert load_run(run.path).pcap(METHOD, LINK).name == f"{LINK}.pcap.gz"
    run.seal()
    assert run.broken_seals() == []
    run.capture(METHOD, LINK).write_bytes(b"other")
    assert run.broken_seals() == [
        f"captures/{METHOD}/{LINK}.pcap.gz is not as the run left it (its SHA-256 differs)"
    ]


def test_what_is_discarded_is_told_to_whoever_asks_for_it(run: RunDirectory) -> None:
    put_away(run, METHOD, "discard", unasked)
    assert names(run) == []
    with pytest.raises(TestbedError, match=r"has no capture of .* it has \('cloud-only', 'device1-edge1'\)"):
        load_run(run.path).pcap(METHOD, LINK)
    put_away(run, "cloud-only", "discard", unasked)
    with pytest.raises(TestbedError, match=r"has no capture of .*; run it again with --set captures=keep"):
        load_run(run.path).pcap(METHOD, LINK)


def test_a_method_without_captures_has_none_to_put_away(run: RunDirectory) -> None:
    put_away(run, "no-such", "compress", unasked)


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """As on a disk that is nearly full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_where_the_disk_has_no_room_a_capture_stays_as_it_is(run: RunDirectory) -> None:
    noise, said = os.urandom(300_000), list[str]()
    run.capture(METHOD, LINK).write_bytes(noise)
    with files_of_at_most(100_000):
        put_away(run, METHOD, "compress", said.append)
    assert names(run) == [f"{LINK}.pcap", "device2-edge1.pcap.gz", "edge1-cloud1.pcap.gz"]
    assert run.capture(METHOD, LINK).read_bytes() == noise
    (sentence,) = said
    assert sentence.endswith(f"{LINK}.pcap stays as it is: it cannot be compressed (File too large)")


def test_a_kill_in_the_midst_loses_nothing(run: RunDirectory) -> None:
    noise = os.urandom(1 << 20) * 40
    run.capture(METHOD, LINK).write_bytes(noise)
    scratch = run.path / "captures" / METHOD / f".{LINK}.pcap.gz"
    code = (
        "import sys; from pathlib import Path; from testbed.results.captures import put_away\n"
        "from testbed.results.directory import RunDirectory\n"
        "put_away(RunDirectory(Path(sys.argv[1])), sys.argv[2], 'compress', print)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(run.path), METHOD], cwd=ROOT) as process:
        while process.poll() is None and not (scratch.exists() and scratch.stat().st_size):
            time.sleep(0.005)
        process.kill()
    assert process.returncode == -9
    assert run.capture(METHOD, LINK).read_bytes() == noise
    put_away(run, METHOD, "compress", unasked)
    assert gzip.decompress(run.capture(METHOD, LINK).read_bytes()) == noise
    assert not scratch.exists()
