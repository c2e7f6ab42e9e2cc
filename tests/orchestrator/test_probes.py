"""The probe's process by itself, with a socket pair in place of a link."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

from testbed.orchestrator.watch import probe_process


def test_a_probe_whose_run_was_killed_ends_without_a_word() -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    settings = {"descriptors": [near.fileno()], "interval_s": 0.05, "drain_s": 0.1, "payload_bytes": 56}
    with near, far:
        probe = subprocess.Popen(
            [sys.executable, "-I", "-S", probe_process.__file__, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[near.fileno()],
        )
        assert probe.stdin is not None
        assert probe.stdout is not None
        assert probe.stderr is not None
        assert probe.stdout.readline() == b"probing\n"
        assert far.recv(100)[0] == 8  # an echo request (RFC 792)
        probe.stdout.close()
        probe.stdin.close()
        assert probe.wait(10) == 0
        assert probe.stderr.read() == b""
