"""A machine's processes on the host and its lines to them, from boot to the end of the last process."""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from testbed.host import command_path
from testbed.vm.console import terminal_size
from testbed.vm.cpu import choose_cpu
from testbed.vm.registry import Machine
from testbed.vm.requirements import Kernel, memory_directory, uml_kernel

BOOT_TIMEOUT_S = 60.0
END_TIMEOUT_S = 120.0
"""After the command has ended and its last output was taken: for files to be written and the power-off."""
_LOG_BYTES = 1 << 16
_TICK_S = 1.0

# When its owner dies, whatever of, standard input ends: then it ends the machine and removes its directory.
# (dash's kill understands a group after `-s KILL --` and in no other spelling.)
_GUARD = 'read -r word && exit 0; kill -s KILL -- "-$1" 2>/dev/null; sleep 0.2; rm -rf -- "$2"'


class Running:
    """The processes of ``machine``, as a context: at its end there are none.

    ``up`` says whether it booted, ``ending`` whether its command has ended, ``signals`` which signals
    asked it to end, ``log`` has its kernel's words.
    """

    def __init__(self, machine: Machine, disk: Path | None, memory_mb: int, grace_s: float) -> None:
        self.machine, self.disk, self.memory_mb, self.grace_s = machine, disk, memory_mb, grace_s
        self.log = self.heard = b""
        self.signals: list[int] = []
        self.deadline = time.monotonic() + BOOT_TIMEOUT_S
        self.up = self.ending = self.killed = self.timed_out = False
        self._previous: Mapping[int, Any] = {}

    def __enter__(self) -> Running:
        self.control, inner = socket.socketpair()
        pipes = [os.pipe() for _ in range(3)]
        self.readers = [reader for reader, _ in pipes]
        writers = [writer for _, writer in pipes]
        self._previous = self._handle_signals()  # before there is a process that a signal could leave behind
        try:
            self.process = self._boot(inner.fileno(), *writers)
            self.guard = self._guard()
        except BaseException:
            self._restore_signals()
            raise
        finally:
            inner.close()
            for writer in writers:
                os.close(writer)
        self.ended = os.pidfd_open(self.process.pid)
        replace(self.machine, group=self.process.pid).save()
        if self.signals:
            self.kill()
        return self

    def _boot(self, control: int, log: int, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
        kernel = uml_kernel()
        lines = [f"con1=fd:{control}", f"con2=null,fd:{stdout}", f"con3=null,fd:{stderr}"]
        return subprocess.Popen(
            [*_bound_to_us(), *self._kernel_command(kernel), *lines, *self._init()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=self.machine.directory,
            env=self._kernel_environment(),
            pass_fds=(control, stdout, stderr),
            start_new_session=True,  # Ctrl-C at the terminal is for us to pass on
        )

    def _guard(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "testbed-vm-guard", str(self.process.pid), self.machine.directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.process.wait()
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self.guard.communicate(b"done\n", timeout=10)
        self._restore_signals()
        self.control.close()
        for descriptor in (*self.readers, self.ended):
            os.close(descriptor)

    def kill(self) -> None:
        """End every process of the machine; their group stays ours until its leader is waited for."""
        self.killed = True
        with contextlib.suppress(ProcessLookupError, AttributeError):  # not booted yet
            os.killpg(self.process.pid, signal.SIGKILL)

    def tell(self, order: str) -> None:
        with contextlib.suppress(OSError):
            self.control.send(order.encode() + b"\n")

    def ask_to_end(self, number: int) -> None:
        """First time: pass it on; from the second on, or before it has booted: no more patience."""
        self.signals.append(number)
        if len(self.signals) > 1 or not self.up:
            self.kill()
        else:
            self.deadline = time.monotonic() + self.grace_s
            self.tell(f"signal {number}")

    def relay(self, stdout: int, stderr: int, timeout_s: float | None) -> None:
        """Copy what arrives until the machine is down and all that it said has been passed on."""
        self.timeout_s = timeout_s
        self.ends: dict[int, int | None] = dict(zip(self.readers, (None, stdout, stderr), strict=True))
        open_readers = set(self.readers)
        with selectors.DefaultSelector() as selector:
            for source in (*self.readers, self.control.fileno(), self.ended):
                selector.register(source, selectors.EVENT_READ)
            while open_readers:
                self._look_at_clock()
                for key, _ in selector.select(_TICK_S):
                    if key.fd in open_readers:
                        if self._pass(key.fd):
                            continue
                        open_readers.remove(key.fd)
                    elif key.fd == self.ended:
                        self.kill()  # its leader has ended: what is left of it would keep the lines open
                    elif self._hear():
                        continue
                    selector.unregister(key.fd)

    def _pass(self, reader: int) -> bool:
        """Copy one block to where it belongs; false at the end."""
        block = os.read(reader, 65536)
        writer = self.ends[reader]
        if writer is None:
            self.log = (self.log + block)[-_LOG_BYTES:]
            return bool(block)
        try:
            self._write(writer, block)
            self._expect_end()
        except BrokenPipeError:  # a command that nobody reads is to end, and must not block until it has
            self.ends[reader] = None
            self.tell(f"signal {int(signal.SIGTERM)}")
        return bool(block)

    def _write(self, writer: int, block: bytes) -> None:
        """Write all of it; a reader who does not read delays that, but no signal and no deadline."""
        while block:
            if select.select([], [writer], [], _TICK_S)[1]:
                block = block[os.write(writer, block[: select.PIPE_BUF]) :]
            elif self.killed:
                return
            elif self.signals or not self.ending:
                self._look_at_clock()

    def _hear(self) -> bool:
        said = self.control.recv(4096)
        self.heard = (self.heard + said)[-_LOG_BYTES:]
        if b"up\n" in self.heard and not self.up:
            self.up = True
            self.deadline = float("inf") if self.timeout_s is None else time.monotonic() + self.timeout_s
        if b"ended\n" in self.heard and not self.ending:
            self.ending = True
            self._expect_end()
        return bool(said)

    def _expect_end(self) -> None:
        """Where the command has ended, so must the machine; after a signal, in what is left of its grace."""
        if self.ending and not self.signals:
            self.deadline = time.monotonic() + END_TIMEOUT_S

    def _look_at_clock(self) -> None:
        if time.monotonic() < self.deadline:
            return
        if self.up and not (self.signals or self.ending):
            self.ask_to_end(signal.SIGTERM)
            return
        self.timed_out = not self.signals
        self.deadline = float("inf")
        self.kill()

    def _handle_signals(self) -> dict[int, Any]:
        if threading.current_thread() is not threading.main_thread():
            return {}

        def on_signal(number: int, _frame: FrameType | None) -> None:
            self.ask_to_end(signal.SIGTERM if number == signal.SIGHUP else number)

        def on_resize(_number: int, _frame: FrameType | None) -> None:
            self.tell("size {} {}".format(*terminal_size(1, 2)))

        ends = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as under nohup
            ends.append(signal.SIGHUP)
        handlers = dict.fromkeys(ends, on_signal)
        return {
            **{number: signal.signal(number, handler) for number, handler in handlers.items()},
            signal.SIGWINCH: signal.signal(signal.SIGWINCH, on_resize),
        }

    def _restore_signals(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _kernel_command(self, kernel: Kernel) -> list[str]:
        disks = [] if self.disk is None else [f"ubda=disk.cow,{self.disk}"]
        modes = ["seccomp=auto"] if kernel.has_seccomp else []
        return [
            str(kernel.path), f"mem={self.memory_mb}M", f"umid={self.machine.name}",
            f"uml_dir={self.machine.directory}", "rootfstype=hostfs", "rw", "quiet",
            "panic=-1", "noreboot", "con=null", "ssl=null", "con0=null,fd:1", "selinux=0", *modes, *disks,
        ]  # fmt: skip

    def _init(self) -> list[str]:
        python = os.path.realpath(sys.executable)
        init = Path(__file__).with_name("init.py")
        words = [f"init={python}", "--", "-I", "-S", str(init), str(self.machine.directory)]
        return [f'"{word}"' if " " in word else word for word in words]

    def _kernel_environment(self) -> dict[str, str]:
        memory = memory_directory(self.memory_mb, self.machine.directory)
        marks = {name: os.environ[name] for name in ("CI_MARK",) if name in os.environ}
        return {"TMPDIR": str(memory), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **marks}


def _bound_to_us() -> list[str]:
    """One CPU, and SIGKILL to the kernel's first process when we die, even before the guard is there."""
    taskset, setpriv = (command_path(name) or name for name in ("taskset", "setpriv"))
    return [taskset, "-c", str(choose_cpu()), setpriv, "--pdeathsig", "KILL", "--"]
