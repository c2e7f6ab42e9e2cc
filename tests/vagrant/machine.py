"""A machine under QEMU, and commands in it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.vagrant.settings import directories, pip_settings
from tests.vagrant.trial import NO_TIME_LEFT

NO_CONSOLE_S = 90
"""So long may a kernel under KVM say nothing; then the host's KVM boots no guest."""


class Machine:
    """A machine that has booted.

    Attributes:
        accelerator: ``kvm`` or ``tcg``.
    """

    def __init__(self, kept: Path, port: int, accelerator: str) -> None:
        self.accelerator = accelerator
        self._kept = kept
        self._port = port

    def ssh(self, user: str) -> list[str]:
        """The command that, with a host or a command after it, is ssh to the machine."""
        options = {
            "StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null", "LogLevel": "ERROR",
            "ConnectTimeout": "60", "TCPKeepAlive": "no", "BatchMode": "yes", "IdentitiesOnly": "yes",
        }  # fmt: skip
        given = [f"-o{name}={value}" for name, value in options.items()]
        return ["ssh", "-F", "none", "-i", str(self._kept / "key"), f"-p{self._port}", f"-l{user}", *given]

    def run(self, user: str, command: str, log: Path, limit_s: float) -> int:
        """Run a command line with its output in a log; its exit status, NO_TIME_LEFT if it was stopped."""
        with log.open("ab") as output:
            try:
                return subprocess.run(
                    [*self.ssh(user), "127.0.0.1", command],
                    stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                    timeout=limit_s, check=False,
                ).returncode  # fmt: skip
            except subprocess.TimeoutExpired:
                return NO_TIME_LEFT

    def answer(self, command: str) -> str:
        """What root's command prints; empty if it fails."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            asked = [*self.ssh("root"), "127.0.0.1", command]
            done = subprocess.run(asked, capture_output=True, text=True, timeout=180, check=False)
            return done.stdout.strip() if done.returncode == 0 else ""
        return ""


@contextlib.contextmanager
def booted(kept: Path, cpus: int, memory_mb: int, limit_s: float) -> Iterator[Machine]:
    """Boot the disk in a directory; at the end the machine is switched off.

    Raises:
        TimeoutError: it did not answer in time (``console.log`` in the directory has what it said).
    """
    until = time.monotonic() + limit_s
    for accelerator in ("kvm", "tcg"):
        if accelerator == "kvm" and not os.access("/dev/kvm", os.R_OK | os.W_OK):
            continue
        (kept / "console.log").unlink(missing_ok=True)
        port = _free_port()
        process = subprocess.Popen(
            _qemu(kept, cpus, memory_mb, accelerator, port), stdin=subprocess.DEVNULL, start_new_session=True
        )
        machine = Machine(kept, port, accelerator)
        try:
            if not _speaks(kept / "console.log", process, until) and accelerator == "kvm":
                print("    KVM is here and boots no guest; going on without it", flush=True)
                continue
            while machine.answer("true; echo up") != "up":
                if process.poll() is not None or time.monotonic() > until:
                    raise TimeoutError(
                        f"the machine ended or did not boot in {limit_s:.0f} s: {kept}/console.log"
                    )
                time.sleep(2)
            yield machine
            return
        finally:
            _switch_off(machine, process)


def _qemu(kept: Path, cpus: int, memory_mb: int, accelerator: str, port: int) -> list[str]:
    how = ["-cpu", "host", "-accel", "kvm"]
    if accelerator == "tcg":
        how = ["-cpu", "max", "-accel", "tcg,thread=multi,tb-size=1024"]
    shares = [
        word
        for i, share in enumerate(directories(pip_settings()))
        for word in (
            "-virtfs",
            f"local,path={share},mount_tag=share{i},security_model=none,readonly=on,multidevs=remap",
        )
    ]
    return [
        "setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-M", "q35", *how,
        "-smp", str(cpus), "-m", str(memory_mb), "-nographic", "-nodefaults", "-no-reboot",
        "-serial", f"file:{kept}/console.log",
        "-kernel", f"{kept}/vmlinuz", "-initrd", f"{kept}/initrd.img",
        "-append", "root=/dev/vda rw console=ttyS0 net.ifnames=0",
        "-drive", f"file={kept}/disk.raw,if=virtio,format=raw,cache=unsafe,discard=unmap",
        "-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{port}-:22", "-device", "virtio-net-pci,netdev=net",
        "-device", "virtio-rng-pci", *shares,
    ]  # fmt: skip


def _speaks(console: Path, process: subprocess.Popen[bytes], until: float) -> bool:
    """Whether the kernel has said a word in time."""
    until = min(until, time.monotonic() + NO_CONSOLE_S)
    while time.monotonic() < until and process.poll() is None:
        if console.exists() and "Linux version" in console.read_text(errors="replace"):
            return True
        time.sleep(1)
    return False


def _switch_off(machine: Machine, process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None and machine.answer("systemctl poweroff; echo off") == "off":
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(600)
    if process.poll() is None:
        process.kill()
    process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
