"""A machine whose command has ended ends too, or is ended: nobody waits for it for ever."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from testbed.vm import process
from testbed.vm.machine import _epitaph
from testbed.vm.process import Running
from testbed.vm.registry import Machine
from tests.vm.machines import ENDED_WITHIN_S


class Script(Running):
    """In a machine's place a shell that never ends; its output line is descriptor 4."""

    def __init__(self, home: Path, script: str) -> None:
        super().__init__(Machine("tbvm0", home, os.getpid(), 0), None, 512, grace_s=600)
        self.script = script

    def __enter__(self) -> Script:
        self.control, self.inner = socket.socketpair()
        lines = [os.pipe() for _ in range(3)]
        self.readers = [reader for reader, _ in lines]
        writers = [writer for _, writer in lines]
        renamed = " ".join(f"{number}>&{writer}" for number, writer in zip("345", writers, strict=True))
        command = ["bash", "-c", f"exec {renamed}; {self.script}; exec sleep 600"]
        self.process = subprocess.Popen(command, pass_fds=writers, start_new_session=True)
        self.guard = subprocess.Popen(["sh", "-c", "read -r word"], stdin=subprocess.PIPE)
        self.ended = os.pidfd_open(self.process.pid)
        for writer in writers:
            os.close(writer)
        return self


@contextmanager
def relayed(machine: Script, stdout: int) -> Iterator[threading.Thread]:
    """Its command has ended as far as it says; the machine itself goes on."""
    with machine:
        relaying = threading.Thread(target=machine.relay, args=(stdout, 2, None), daemon=True)
        relaying.start()
        for part in (b"up\nen", b"ded\n"):
            machine.inner.send(part)
        yield relaying
        machine.kill()
        relaying.join(ENDED_WITHIN_S)
    machine.inner.close()


def test_a_machine_that_does_not_end_with_its_command_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "END_TIMEOUT_S", 0.5)
    machine = Script(tmp_path, "true")
    with relayed(machine, stdout=1) as relaying:
        relaying.join(ENDED_WITHIN_S)
        assert not relaying.is_alive()
    assert machine.timed_out
    assert "exit status did not come out" in _epitaph(machine)


def test_it_is_not_ended_while_nobody_takes_its_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "END_TIMEOUT_S", 0.5)
    reader, writer = os.pipe()
    machine = Script(tmp_path, "head -c 1000000 /dev/zero >&4")
    with relayed(machine, writer):
        time.sleep(2)
        assert machine.process.poll() is None
    os.close(reader)
    os.close(writer)
