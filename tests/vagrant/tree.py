"""A directory becomes a Debian or an Ubuntu, and commands run in it as on a machine of their own."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.vagrant.disk import APART
from tests.vagrant.settings import bring_settings, debian_mirror, directories, pip_settings, write_files
from tests.vagrant.trial import NO_TIME_LEFT

SYSTEMS = {"trixie": "Debian 13", "noble": "Ubuntu 24.04"}
"""Those that can be made, by release."""
UBUNTU = "http://archive.ubuntu.com/ubuntu"
UBUNTU_KEYS = "usr/share/keyrings/ubuntu-archive-keyring.gpg"
WITH_UBUNTU_KEYS = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {} trixie main\n"
"""Of a Debian mirror: Debian 12 has no package of Ubuntu's keys."""
CGROUPS = Path("/sys/fs/cgroup")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
END_S = 30.0

INSIDE = r"""
set -euo pipefail
tree=$1 shares=$2
shift 2
mount --bind "$tree" "$tree"
mount -t proc proc "$tree/proc"
mount --rbind /sys "$tree/sys"
mount --rbind /dev "$tree/dev"
mount -t tmpfs -o mode=1777 tmpfs "$tree/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$tree/run"
mkdir "$tree/run/lock"
IFS=:
for share in $shares; do mount --bind -o ro "$share" "$tree$share"; done
chroot "$tree" "$@" # as a child: this shell is the first process, and reaps those whose parents have ended
"""


@dataclass(frozen=True)
class Tree:
    """A system in a directory."""

    path: Path

    @property
    def cgroup(self) -> str:
        """The control group that containers of an engine in the tree are in, the same in each call."""
        return f"tree-{hashlib.sha256(str(self.path).encode()).hexdigest()[:12]}"

    def run(self, command: str, log: Path, limit_s: float) -> int:
        """Run root's command line with its output in a log; its exit status, NO_TIME_LEFT if it was stopped.

        It has processes and mounts of its own, and the host's network. At the end no process, mount,
        container or control group of it is there.
        """
        shutil.copy("/etc/resolv.conf", self.path / "etc/resolv.conf")
        shares = ":".join(str(share) for share in directories(pip_settings()))
        inside = ["bash", "-c", INSIDE, "inside", str(self.path), shares]
        cleared = ["env", "-i", f"PATH={PATH}", "HOME=/root", "LANG=C.UTF-8"]
        namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        try:
            with log.open("ab") as output:
                return _run([*namespaces, *inside, *cleared, "bash", "-c", command], limit_s, output.fileno())
        except subprocess.TimeoutExpired:
            return NO_TIME_LEFT
        finally:
            remove_cgroup(self.cgroup)

    def size(self) -> str:
        """What it takes of the disk."""
        told = subprocess.run(["du", "-sh", str(self.path)], capture_output=True, text=True, check=True)
        return told.stdout.split("\t")[0]


def make_tree(kept: Path, release: str, mirror: str | None) -> Tree:
    """Write the smallest system of a release to ``tree`` of a directory, with the host's way to packages.

    Raises:
        SubprocessError: the mirror does not answer, or there is no room.
    """
    partial, tree = kept / "tree.partial", Tree(kept / "tree")
    shutil.rmtree(partial, ignore_errors=True)
    keys = [f"--keyring={ubuntu_keys(kept)}"] if release == "noble" else []
    command = [*APART, "mmdebstrap", "--variant=minbase", "--include=apt,ca-certificates", *keys, release]
    status = _run([*command, str(partial), *sources(release, mirror)], 1800)
    if status != 0:
        raise subprocess.CalledProcessError(status, command)
    bring_settings(partial)
    engine = json.dumps({"cgroup-parent": f"/{tree.cgroup}"})
    write_files(partial, {"etc/hosts": "127.0.0.1 localhost\n", "etc/docker/daemon.json": engine})
    (partial / "etc/resolv.conf").unlink(missing_ok=True)
    partial.rename(tree.path)
    return tree


def sources(release: str, mirror: str | None) -> list[str]:
    """Where mmdebstrap gets packages from; for Debian it knows that by itself."""
    if release == "noble":
        suites = (release, f"{release}-updates", f"{release}-security")
        return [f"deb {mirror or UBUNTU} {suite} main universe" for suite in suites]
    return [mirror] if mirror else []


def ubuntu_keys(kept: Path) -> Path:
    """The file of Ubuntu's keys: the host's, else the one that Debian 13 packages, by Debian's signature.

    Raises:
        SubprocessError: it cannot be fetched.
    """
    here = Path("/") / UBUNTU_KEYS
    if here.exists():
        return here
    own = kept / "keys"
    write_files(
        own, {"sources.list": WITH_UBUNTU_KEYS.format(debian_mirror()), "lists/partial/x": "", "cache/x": ""}
    )
    settings = {
        "Dir::Etc::SourceList": own / "sources.list", "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": own / "lists", "Dir::Cache": own / "cache", "APT::Sandbox::User": "root",
    }  # fmt: skip
    apt = ["apt-get", "-q", *(f"-o{name}={value}" for name, value in settings.items())]
    for words in (["update"], ["download", "ubuntu-keyring"]):
        subprocess.run([*apt, *words], cwd=own, timeout=600, check=True)
    (package,) = own.glob("*.deb")
    subprocess.run(["dpkg-deb", "-x", str(package), str(own)], timeout=60, check=True)
    return own / UBUNTU_KEYS


def remove_cgroup(name: str) -> None:
    """Remove a control group whose processes have ended, in each hierarchy, with all in it."""
    until = time.monotonic() + END_S
    for top in (CGROUPS / name, *CGROUPS.glob(f"*/{name}")):
        for directory in [Path(path) for path, _, _ in os.walk(top, topdown=False)]:
            while directory.exists():
                try:
                    directory.rmdir()
                except OSError:  # the kernel has not let go of its last process
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.1)


def _run(command: list[str], limit_s: float, output: int | None = None) -> int:
    """Run ``unshare --pid``; when this returns or raises, all that it started has ended."""
    # A session of its own: Ctrl-C ends this process alone, which then ends that one in order.
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=output and subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    try:
        return process.wait(limit_s)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the first process of the namespace: ``unshare`` then waits for it, and it for all others."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    with contextlib.suppress(OSError):
        for child in children.read_text().split():
            os.kill(int(child), signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_S)
    process.kill()
    process.wait()
