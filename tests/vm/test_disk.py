"""The machine's disk: made once for an image, whole or not at all, and clean for every machine."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from testbed.engine import engine
from testbed.errors import TestbedError
from testbed.image import ImageRef, ensure_image
from testbed.vm import ensure_disk

KEEP_MAKING = """
import sys
from testbed.image import ImageRef
from testbed.vm import ensure_disk
ensure_disk(ImageRef(sys.argv[1], sys.argv[2], 1), lambda line: print(line, flush=True))
"""

pytestmark = [pytest.mark.root, pytest.mark.docker]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; afterwards, nothing in the kernel holds a file of it."""
    monkeypatch.setenv("TESTBED_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def image() -> Iterator[Callable[[int], ImageRef]]:
    """Makes images of random bytes, gone after the test."""
    client, made = engine(), list[str]()

    def make(size_bytes: int) -> ImageRef:
        tag = f"testbed-disk-test:{os.urandom(6).hex()}"
        repository, _, version = tag.partition(":")
        client.api.import_image_from_data(_tar(size_bytes), repository=repository, tag=version)
        made.append(tag)
        found = client.images.get(tag)
        return ImageRef(tag, str(found.id), int(found.attrs["Size"]))

    yield make
    for tag in made:
        client.images.remove(tag)


def test_a_disk_is_made_once_and_nothing_of_its_making_stays(
    cache: Path, image: Callable[[int], ImageRef]
) -> None:
    wanted, said = image(1 << 20), list[str]()
    with ThreadPoolExecutor(2) as two:
        first, second = two.map(lambda report: ensure_disk(wanted, report), (said.append, said.append))
    assert first == second
    assert ensure_disk(wanted, said.append) == first
    assert sum("of its own" in line for line in said) == 1, said
    assert "another process is preparing the machine's disk: waiting for it" in said
    assert (
        subprocess.run(["e2fsck", "-fn", first], capture_output=True, timeout=60, check=False).returncode == 0
    )
    assert first.stat().st_blocks * 512 < first.stat().st_size / 10  # sparse
    assert _held(cache) == []
    assert not list((cache / "disks" / "build").iterdir())


def test_disks_that_nobody_asks_for_are_removed(
    cache: Path, image: Callable[[int], ImageRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = cache / "disks"
    home.mkdir()
    for name, age_s in (("old", 7200), ("young", 60)):
        for suffix in (".img", ".used"):
            (home / f"{name}{suffix}").touch()
            os.utime(home / f"{name}{suffix}", (time.time() - age_s,) * 2)
    made = ensure_disk(image(1000))
    assert {path.name for path in home.glob("*.img")} == {"young.img", made.name}
    assert {path.stem for path in home.glob("*.used")} == {"young", made.stem}


def test_an_image_that_is_not_there_is_named(cache: Path) -> None:
    with pytest.raises(
        TestbedError, match=r"there is no image nobody:built to put on a disk; build it first"
    ):
        ensure_disk(ImageRef("nobody:built", "sha256:0", 1000))
    assert _held(cache) == []
    assert not list((cache / "disks").glob("*.img"))


def test_a_kill_in_the_middle_leaves_no_daemon_and_no_mount(
    cache: Path, image: Callable[[int], ImageRef]
) -> None:
    wanted, before = image(64 << 20), set(Path("/run").glob("testbed-disk-*"))
    making = subprocess.Popen(
        [sys.executable, "-c", KEEP_MAKING, wanted.tag, wanted.id], stdout=subprocess.PIPE, text=True
    )
    assert making.stdout is not None
    assert "of its own" in making.stdout.readline()
    _wait_until(lambda: len(_held(cache)) > 1)
    making.send_signal(signal.SIGKILL)
    making.communicate(timeout=30)
    _wait_until(lambda: _held(cache) == [])
    assert ensure_disk(wanted).is_file()
    assert not list((cache / "disks" / "build").iterdir())
    assert set(Path("/run").glob("testbed-disk-*")) <= before


@pytest.mark.parametrize("told_bytes", [64 << 20, 1000], ids=["before", "in the middle"])
def test_a_full_disk_is_told_in_a_sentence(
    cache: Path, image: Callable[[int], ImageRef], told_bytes: int
) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "none", cache], check=True, timeout=30)
    try:
        wanted = image(64 << 20)
        with pytest.raises(
            TestbedError, match=r"make room, or point TESTBED_CACHE at a larger disk"
        ) as caught:
            ensure_disk(ImageRef(wanted.tag, wanted.id, told_bytes))
        assert "\n" not in str(caught.value)
        assert _held(cache) == []
        assert sum(path.stat().st_size for path in cache.rglob("*") if path.is_file()) == 0
    finally:
        subprocess.run(["umount", cache], check=True, timeout=30)


@pytest.mark.vm
@pytest.mark.timeout(600)
def test_every_machine_has_docker_with_the_image_on_a_clean_disk() -> None:
    tier = ensure_image()
    made = ensure_disk(tier)
    before = made.stat()
    command = ["python3", "-c", "print(6 * 7)"]
    hello = f"client.containers.run({tier.tag!r}, {command}, remove=True, network_mode='none')"
    assert _in_machine(f"print({hello}.decode(), client.volumes.create('mine').name)") == ["42", "mine"]
    volumes = "[volume.name for volume in client.volumes.list()]"
    tags = "[tag for image in client.images.list() for tag in image.tags]"
    assert _in_machine(f"print(*{volumes}, *{tags})") == [tier.tag]
    after = made.stat()
    assert (before.st_mtime_ns, before.st_blocks) == (after.st_mtime_ns, after.st_blocks)


def _in_machine(script: str) -> list[str]:
    """Words that ``script`` prints in a machine with Docker, given the engine's ``client``."""
    code = f"from testbed.engine import engine\nclient = engine()\n{script}"
    command = [sys.executable, "-m", "testbed.vm", "--docker", "--memory", "2048", "--"]
    command += [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def _held(home: Path) -> list[str]:
    """What in the kernel holds files below ``home``: loop devices, mounts, processes."""
    loops = [path.read_text().strip() for path in Path("/sys/block").glob("loop*/loop/backing_file")]
    found = [f"loop {path}" for path in loops if path.startswith(f"{home}/")]
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and process.name != str(os.getpid()):
            try:
                mounts = (process / "mounts").read_text()
                command = (process / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            except OSError:
                continue
            if f"{home}/" in mounts or (f"{home}/" in command and "pytest" not in command):
                found.append(f"process {process.name} {command[:60]}")
    return found


def _wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _tar(size_bytes: int) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("content")
        entry.size = size_bytes
        archive.addfile(entry, io.BytesIO(os.urandom(size_bytes)))
    return packed.getvalue()
