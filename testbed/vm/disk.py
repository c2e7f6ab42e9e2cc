"""The machine's disk: a Docker data directory with the tier image in it, made once for each image.

It is a sparse file with an ext4 file system, filled by a Docker daemon of its own. The mount and the daemon
live in a mount namespace of their own, so that whatever ends this process also ends and unmounts them.
A machine writes to a copy-on-write file beside it and never to the disk.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

import docker
from docker.errors import DockerException, ImageNotFound

from testbed.assets import cache_dir
from testbed.capabilities import package_mend
from testbed.children import DIES_WITH_US, Report
from testbed.engine import engine
from testbed.errors import TestbedError
from testbed.host import command_path
from testbed.image import ImageRef
from testbed.kernel import SEARCH_PATH
from testbed.locking import exclusive

RECIPE = "1"
MINIMUM_BYTES = 4 << 30
ROOM_FACTOR = 3.0
"""Free space that making a disk asks for, in sizes of the image: it passes through as an archive."""
SPARED = timedelta(hours=1)
DAEMON_READY_S = 60.0
DAEMON_STOP_S = 60.0
LOCK_TIMEOUT_S = 1800.0
TRANSFER_SILENCE_S = 600
REPORT_EVERY_S = 3.0

_libc = ctypes.CDLL(None, use_errno=True)

# Everything the kernel holds for a disk under construction, in one process group and one mount namespace.
# /run/containerd is hidden: a daemon that found the host's containerd there would keep the image in it.
_DAEMON = """
disk=$1 data=$2; shift 2
mount -o loop,noatime "$disk" "$data" || exit 1
mkdir -p /run/containerd && mount -t tmpfs tmpfs /run/containerd || exit 1
setpriv --pdeathsig KILL -- "$@" &
daemon=$!
trap 'kill $daemon' TERM
while kill -0 $daemon 2>/dev/null; do wait $daemon; done
fstrim "$data" 2>/dev/null
sync -f "$data" && umount "$data" && echo unmounted
"""

# No journal: nobody needs a disk back that was being written when its machine died.
_MKFS = ("-q", "-F", "-O", "^has_journal", "-m", "0", "-i", "65536", "-E", "lazy_itable_init=0,nodiscard")


def ensure_disk(image: ImageRef, report: Report | None = None) -> Path:
    """The disk that holds ``image``, made if there is none; ``report`` gets sentences of progress.

    Raises:
        TestbedError: no root, a tool or room that is missing, or the image could not be copied.
    """
    report = report or _silent
    disk = disk_path(image)
    if disk.is_file():
        _mark_used(disk)
        return disk
    _require_tools()
    with exclusive(disk.parent / "lock", "preparing the machine's disk", LOCK_TIMEOUT_S, report):
        if not disk.is_file():
            with _explained(disk.parent), tempfile.TemporaryDirectory(dir=_fresh(disk.parent)) as scratch:
                _require_room(image, disk.parent)
                made = _make(image, Path(scratch), report)
                made.rename(disk)
            report(f"disk {disk.name}: {disk.stat().st_blocks * 512 / 1e6:.0f} MB")
        _mark_used(disk)
        _prune(disk)
    return disk


def disk_path(image: ImageRef) -> Path:
    """Where the disk of ``image`` is, or would be."""
    digest = hashlib.sha256("\0".join((RECIPE, image.tag, image.id)).encode()).hexdigest()
    return cache_dir() / "disks" / f"{digest[:12]}.img"


def _make(image: ImageRef, scratch: Path, report: Report) -> Path:
    disk, data = scratch / "disk.img", scratch / "data"
    data.mkdir()
    with disk.open("wb") as file:
        file.truncate(max(MINIMUM_BYTES, 4 * image.size_bytes))
    _run(["mkfs.ext4", *_MKFS, str(disk)])
    report("disk: starting a Docker daemon of its own")
    with _daemon(disk, data, scratch) as inner:
        _copy(image, engine(report), inner, report)
    _run(["e2fsck", "-fn", str(disk)])
    with disk.open("rb") as file:
        os.fsync(file)  # before its name says that it is whole
    return disk


def _copy(image: ImageRef, outer: docker.DockerClient, inner: docker.DockerClient, report: Report) -> None:
    outer.api.timeout = inner.api.timeout = TRANSFER_SILENCE_S
    try:
        archive = outer.images.get(image.tag).save(named=True)
    except ImageNotFound:
        raise TestbedError(f"there is no image {image.tag} to put on a disk; build it first") from None
    counted = _counted(archive, image.size_bytes, report)
    inner.images.load(counted)  # type: ignore[arg-type]  # sent in chunks, as requests does with iterators
    inner.images.get(image.tag)


def _counted(blocks: Iterable[bytes], total_bytes: int, report: Report) -> Iterator[bytes]:
    done, told_at = 0, time.monotonic()
    for block in blocks:
        done += len(block)
        if time.monotonic() - told_at > REPORT_EVERY_S:
            told_at = time.monotonic()
            report(f"disk: copying the image, {done / 1e6:.0f} of about {total_bytes / 1e6:.0f} MB")
        yield block
    report("disk: unpacking the image")


@contextlib.contextmanager
def _daemon(disk: Path, data: Path, scratch: Path) -> Iterator[docker.DockerClient]:
    """A client of a daemon with its data on ``disk``; at the end it has stopped and ``disk`` is unmounted."""
    with _socket_directory(disk) as home:
        socket, log = f"{home}/docker.sock", scratch / "dockerd.log"
        config = scratch / "daemon.json"
        config.write_text("{}")
        options = {"data-root": data, "exec-root": f"{home}/run", "pidfile": f"{home}/pid"}
        command = [str(command_path("dockerd")), *(f"--{name}={value}" for name, value in options.items())]
        command += [f"--host=unix://{socket}", f"--config-file={config}", "--bridge=none"]
        command += ["--iptables=false", "--ip6tables=false", "--ip-forward=false"]
        in_namespace = [*DIES_WITH_US, "unshare", "--mount", "--propagation", "private"]
        with log.open("wb") as written:
            process = subprocess.Popen(
                [*in_namespace, "sh", "-c", _DAEMON, "testbed-disk", str(disk), str(data), *command],
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=written,
                cwd="/",
                env={**os.environ, "PATH": SEARCH_PATH, "DOCKER_TMPDIR": str(data / "tmp")},
                start_new_session=True,
            )
        try:
            client = _wait_ready(socket, process, log)
            with _written_whole(Path(f"/proc/{process.pid}/root{data}")), contextlib.closing(client):
                yield client
        finally:
            _stop(process, log)
        if "unmounted" not in log.read_text(errors="replace").splitlines()[-1:]:
            raise TestbedError(f"the new disk could not be unmounted ({_last_line(log)}); try again")


@contextlib.contextmanager
def _socket_directory(disk: Path) -> Iterator[str]:
    """One for each cache, since a socket's path must be short; what a killed process left there goes now."""
    cache = hashlib.sha256(bytes(disk.parents[2])).hexdigest()[:12]
    home = Path(f"/run/testbed-disk-{cache}")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(mode=0o700)
    try:
        yield str(home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def _written_whole(directory: Path) -> Iterator[None]:
    """At the end, all that was written to the file system of ``directory`` meanwhile is on its disk.

    A disk that is full under a sparse file refuses data long after write(2) took them; syncfs(2) is told.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        yield
        if _libc.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"what was written did not reach the disk: {os.strerror(number)}")
    finally:
        os.close(descriptor)


def _wait_ready(socket: str, process: subprocess.Popen[bytes], log: Path) -> docker.DockerClient:
    deadline = time.monotonic() + DAEMON_READY_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(DockerException, OSError):
            client = docker.DockerClient(base_url=f"unix://{socket}", version="auto", timeout=30)
            client.ping()
            return client
        time.sleep(0.2)
    raise TestbedError(f"the Docker daemon for the machine's disk did not start ({_last_line(log)})")


def _stop(process: subprocess.Popen[bytes], log: Path) -> None:
    process.terminate()
    try:
        process.wait(DAEMON_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()  # the daemon dies with its parent, and the mount with the last in its namespace
        process.wait()
        raise TestbedError(
            f"the machine's disk is not to be unmounted ({_last_line(log)}); try again"
        ) from None


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
    return lines[-1][-300:]


def _fresh(home: Path) -> Path:
    """A directory for what is being made; what a killed process left there goes now (we hold the lock)."""
    building = home / "build"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    return building


def _mark_used(disk: Path) -> None:
    with contextlib.suppress(OSError):  # not the disk's own time: a machine's copy-on-write file checks that
        disk.with_suffix(".used").touch()


def _prune(keep: Path) -> None:
    """Remove disks that nobody has asked for in a while; a machine that has one open keeps it open."""
    for disk in keep.parent.glob("*.img"):
        used = disk.with_suffix(".used")
        last_s = (used if used.exists() else disk).stat().st_mtime
        if disk != keep and time.time() - last_s > SPARED.total_seconds():
            disk.unlink(missing_ok=True)
            used.unlink(missing_ok=True)


def _require_tools() -> None:
    if os.geteuid() != 0:
        raise TestbedError("preparing the machine's disk needs root, once for each image; run it with sudo")
    for command in ("mkfs.ext4", "e2fsck", "dockerd", "mount", "unshare", "setpriv"):
        if command_path(command) is None:
            raise TestbedError(f"{command} is not installed: {package_mend(command)}")


def _require_room(image: ImageRef, home: Path) -> None:
    free, needed = shutil.disk_usage(home).free, ROOM_FACTOR * image.size_bytes
    if free < needed:
        raise TestbedError(
            f"{home} has {free / 1e9:.1f} GB free and making the machine's disk takes {needed / 1e9:.1f}; "
            "make room, or point TESTBED_CACHE at a larger disk"
        )


@contextlib.contextmanager
def _explained(home: Path) -> Iterator[None]:
    try:
        yield
    except (TestbedError, DockerException, OSError) as error:
        full = shutil.disk_usage(home).free < MINIMUM_BYTES // 64
        if full or "no space left" in str(error).lower():
            raise TestbedError(
                f"no space is left for the machine's disk in {home}; make room, or point TESTBED_CACHE at a "
                "larger disk"
            ) from error
        if isinstance(error, TestbedError):
            raise
        raise TestbedError(f"cannot prepare the machine's disk ({error}); try again") from error


def _run(argv: list[str]) -> None:
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=300, check=False, env={"PATH": SEARCH_PATH}
    )
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise TestbedError(f"{argv[0]} failed ({said})")


def _silent(_: str) -> None:
    pass
