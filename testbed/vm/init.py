"""Process 1 of the machine: prepares what a kernel leaves to user space, runs one command, powers off.

It runs inside, by the host's Python from the host's file system, and imports the standard library alone.
A process is dear there (fork and exec each cost milliseconds of page faults), so mounts, interfaces and
the end are system calls from here and not commands.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
import traceback
import tty
from pathlib import Path
from typing import IO, Any

CONTROL, OUTPUT, ERRORS = "/dev/tty1", "/dev/tty2", "/dev/tty3"
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOATIME, MS_BIND = 2, 4, 8, 1024, 4096
RB_POWER_OFF = 0x4321FEDC
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
OPEN_FILES = (1024, 1 << 20)  # soft and hard, as a distribution sets them
KEPT_OPEN_S = 10.0
DOCKER_READY_S = 120.0

_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    """mount(2); the target is made where it can be."""
    with contextlib.suppress(OSError):
        Path(target).mkdir(parents=True, exist_ok=True)
    arguments = (source.encode(), target.encode(), kind.encode())
    if _libc.mount(*arguments, ctypes.c_ulong(flags), data.encode()) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mounting {kind} on {target}: {os.strerror(number)}")


def mount_system(spec: dict[str, Any]) -> None:
    """What every Linux has, and the machine's own in place of the host's where they would mix."""
    closed = MS_NOSUID | MS_NODEV | MS_NOEXEC
    mount("proc", "/proc", "proc", closed)
    mount("sysfs", "/sys", "sysfs", closed)
    with contextlib.suppress(OSError):  # the kernel itself has mounted it, if it was made to
        mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID)
    mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=620,ptmxmode=666")
    mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV)
    mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    for name in ("lock", "tmp"):
        Path(f"/run/{name}").mkdir()
        Path(f"/run/{name}").chmod(0o1777)
    mount_modules(spec["modules"])


def mount_modules(modules: str) -> None:
    """Let modprobe find the machine's modules, without a change to the host's /lib/modules."""
    release = os.uname().release
    home = Path("/lib/modules")
    try:
        mount("tmpfs", str(home), "tmpfs")
    except OSError:  # the host has no such directory and this user cannot make it
        home = Path("/run/modules/lib/modules")
        home.mkdir(parents=True)
        wrapper = Path("/run/modules/modprobe")
        wrapper.write_text('#!/bin/sh\nexec /sbin/modprobe -d /run/modules "$@"\n')
        wrapper.chmod(0o755)
        Path("/proc/sys/kernel/modprobe").write_text(str(wrapper))
        os.environ["MODPROBE_OPTIONS"] = "-d /run/modules"
    (home / release).symlink_to(modules)


def mount_cgroups() -> None:
    """Version 1, each controller by itself; version 2 where the memory controller is only that."""
    root = "/sys/fs/cgroup"
    rows = [line.split() for line in Path("/proc/cgroups").read_text().splitlines()[1:]]
    mount("tmpfs", root, "tmpfs", 0, "mode=755")
    mounted = []
    with contextlib.suppress(OSError):
        for name in [row[0] for row in rows if row[3] == "1"]:
            mount("cgroup", f"{root}/{name}", "cgroup", 0, name)
            mounted.append(name)
        if Path(f"{root}/memory/memory.limit_in_bytes").exists():
            return
    for name in mounted:
        _libc.umount(f"{root}/{name}".encode())
    _libc.umount(root.encode())
    mount("cgroup2", root, "cgroup2")
    available = Path(f"{root}/cgroup.controllers").read_text().split()
    Path(f"{root}/cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in available))


def loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = bytearray(struct.pack("16sH22x", b"lo", 0))
        fcntl.ioctl(any_socket, SIOCGIFFLAGS, request)
        (flags,) = struct.unpack_from("H", request, 16)
        struct.pack_into("H", request, 16, flags | IFF_UP)
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, request)


def open_line(path: str) -> int:
    """A console line as a clean pipe of bytes: no echo, no translation of line ends."""
    line = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    tty.setraw(line)
    return line


def start_ovs() -> None:
    """The two daemons of Open vSwitch, all their files on a tmpfs."""
    home = "/run/openvswitch"
    Path(home).mkdir()
    os.environ.update(OVS_RUNDIR=home, OVS_DBDIR=home, OVS_LOGDIR=home)
    steps = (
        ["ovsdb-tool", "create", f"{home}/conf.db", "/usr/share/openvswitch/vswitch.ovsschema"],
        ["ovsdb-server", f"--remote=punix:{home}/db.sock", "--pidfile", "--detach", f"{home}/conf.db"],
        ["ovs-vsctl", "--no-wait", "init"],
        ["ovs-vswitchd", "--pidfile", "--detach"],
    )
    with open(f"{home}/start.log", "wb") as log:
        for step in steps:
            subprocess.run(
                step, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", check=True, timeout=60
            )


def start_docker() -> None:
    """dockerd on the prepared disk. Who asks for the engine meanwhile waits at its lock until it answers."""
    mount("/dev/ubda", "/var/lib/docker", "ext4", MS_NOATIME)
    Path("/run/llm-testbed").mkdir()
    lock = open("/run/llm-testbed/dockerd.lock", "w")  # noqa: SIM115
    fcntl.flock(lock, fcntl.LOCK_EX)
    Path("/run/dockerd.json").write_text("{}")
    options = ("--iptables=false", "--ip6tables=false", "--ip-forward=false", "--bridge=none")
    with open("/run/llm-testbed/dockerd.log", "wb") as log:
        subprocess.Popen(
            ["dockerd", *options, "--config-file=/run/dockerd.json"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
    threading.Thread(target=release_when_ready, args=(lock,), daemon=True).start()


def release_when_ready(lock: IO[str]) -> None:
    deadline = time.monotonic() + DOCKER_READY_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(30)
            asked.connect("/run/docker.sock")
            asked.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            if asked.recv(12).endswith(b"200"):
                break
        time.sleep(0.1)
    lock.close()


class Command:
    """The one command: its output on two lines, signals from the control line, its status at the end."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.pumps: list[threading.Thread] = []
        self.lines = {name: open_line(name) for name in (OUTPUT, ERRORS)}
        self.control = open_line(CONTROL)
        self.resize(*spec["size"])

    def resize(self, rows: int, columns: int) -> None:
        size = struct.pack("HHHH", rows, columns, 0, 0)
        for line in self.lines.values():
            fcntl.ioctl(line, termios.TIOCSWINSZ, size)

    def start(self) -> None:
        output = self.end_of(OUTPUT, self.spec["output_is_terminal"])
        errors = output
        if not self.spec["errors_to_output"]:
            errors = self.end_of(ERRORS, self.spec["errors_are_terminal"])
        # Kept: a Popen that is dropped reaps a child that has ended by then, and its status is lost.
        self.process = subprocess.Popen(
            self.spec["argv"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            cwd=self.spec["cwd"],
            env={**self.spec["env"], **{name: os.environ[name] for name in PASSED if name in os.environ}},
            start_new_session=True,
            umask=self.spec["umask"],
        )
        self.pid = self.process.pid
        for end in {output, errors} - set(self.lines.values()):
            os.close(end)

    def end_of(self, line: str, is_terminal: bool) -> int:
        """What the command writes to: a terminal only if it is one outside, else a pipe."""
        if is_terminal:
            return self.lines[line]
        reader, writer = os.pipe()
        pump = threading.Thread(target=copy, args=(reader, self.lines[line]), daemon=True)
        pump.start()
        self.pumps.append(pump)
        return writer

    def wait(self) -> int:
        """Status as a shell gives it. Orphans are reaped on the way; so is what the control line says."""
        waker, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(woken)
        try:
            return self._status(waker)
        finally:  # the deaths of all the others must not interrupt what comes after: tcdrain is not retried
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def _status(self, waker: int) -> int:
        said = b""
        while True:
            while True:
                try:
                    pid, status = os.waitpid(-1, os.WNOHANG)
                except ChildProcessError:
                    pid, status = 0, 0
                if pid == self.pid:
                    code = os.waitstatus_to_exitcode(status)
                    return code if code >= 0 else 128 - code
                if pid == 0:
                    break
            ready, _, _ = select.select([waker, self.control], [], [], 5.0)
            if waker in ready:
                os.read(waker, 4096)
            if self.control in ready:
                said += os.read(self.control, 4096)
                *orders, said = said.split(b"\n")
                for order in orders:
                    self.obey(order.decode().split())

    def obey(self, order: list[str]) -> None:
        match order:
            case ["signal", number]:
                wanted = signal.Signals(int(number))
                with contextlib.suppress(ProcessLookupError):
                    if wanted == signal.SIGINT:  # as a terminal does it: to all in the foreground
                        os.killpg(self.pid, wanted)
                    else:
                        os.kill(self.pid, wanted)
            case ["size", rows, columns]:
                self.resize(int(rows), int(columns))

    def finish(self) -> None:
        """End whatever else still runs, and wait until all that was written has left the machine."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        for pump in self.pumps:
            pump.join(KEPT_OPEN_S)
        for line in self.lines.values():
            termios.tcdrain(line)


PASSED = ("MODPROBE_OPTIONS", "OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR")


def copy(reader: int, writer: int) -> None:
    while block := os.read(reader, 65536):
        while block:
            block = block[os.write(writer, block) :]


def sync_host_files() -> None:
    """Write back what was written to the host's files; the disk's copy is thrown away anyhow."""
    root = os.open("/", os.O_RDONLY)
    if _libc.syncfs(root) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"files written in the machine did not reach the host: {os.strerror(number)}")


def run(spec: dict[str, Any]) -> int:
    os.environ["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    mount_system(spec)
    mount_cgroups()
    loopback_up()
    resource.setrlimit(resource.RLIMIT_NOFILE, OPEN_FILES)
    socket.sethostname("testbed-vm")
    if spec["docker"]:
        start_docker()
    elif Path("/var/lib/docker").is_dir():  # the host's images and containers are not for us to touch
        mount("tmpfs", "/var/lib/docker", "tmpfs", MS_NOSUID | MS_NODEV, "mode=710")
    if spec["ovs"]:
        start_ovs()
    command = Command(spec)
    os.write(command.control, b"up\n")
    command.start()
    status = command.wait()
    os.write(command.control, b"ended\n")
    command.finish()
    sync_host_files()
    return status


def main() -> None:
    directory = Path(sys.argv[1])
    try:
        outcome: dict[str, Any] = {"status": run(json.loads((directory / "spec.json").read_text()))}
    except FileNotFoundError as error:
        outcome = {"error": f"{error.filename}: no such file"}
    except Exception as error:
        traceback.print_exc()
        outcome = {"error": str(error)}
    with open(directory / "outcome.json", "w") as file:
        json.dump(outcome, file)
        file.flush()
        os.fsync(file.fileno())
    _libc.reboot(RB_POWER_OFF)
    time.sleep(60)  # process 1 must not return


if __name__ == "__main__":
    main()
