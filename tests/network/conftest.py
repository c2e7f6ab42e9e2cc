"""Real parts that some tests need: Open vSwitch, Docker's engine, the tier image."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

import testbed.engine
from testbed.image import ensure_image
from testbed.switch import OVS_RUN_DIRECTORY, ovs_answers


@pytest.fixture(scope="session")
def open_vswitch() -> Iterator[None]:
    """Open vSwitch with the kernel's datapath: the host's, or one that ends with the tests."""
    if ovs_answers():
        yield
        return
    OVS_RUN_DIRECTORY.mkdir(exist_ok=True)
    database = OVS_RUN_DIRECTORY / "conf.db"
    database.unlink(missing_ok=True)
    started: list[Path] = []
    try:
        schema = "/usr/share/openvswitch/vswitch.ovsschema"
        run(["ovsdb-tool", "create", str(database), schema])
        daemon(["ovsdb-server", str(database), f"--remote=punix:{OVS_RUN_DIRECTORY}/db.sock"], started)
        run(["ovs-vsctl", "--no-wait", "init"])
        run(["modprobe", "openvswitch"])
        daemon(["ovs-vswitchd"], started)
        assert ovs_answers()
        yield
    finally:
        for pidfile in reversed(started):
            end(pidfile)
        for left in OVS_RUN_DIRECTORY.iterdir():
            left.unlink()
        OVS_RUN_DIRECTORY.rmdir()


def run(argv: list[str]) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout


def daemon(argv: list[str], started: list[Path]) -> None:
    pidfile = OVS_RUN_DIRECTORY / f"{argv[0]}.pid"
    run([*argv, f"--pidfile={pidfile}", "--detach", "--no-chdir", "--log-file=/dev/null", "-vsyslog:off"])
    started.append(pidfile)


def end(pidfile: Path) -> None:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
        pid = int(pidfile.read_text())
        os.kill(pid, signal.SIGTERM)
        for _ in range(100):
            os.kill(pid, 0)
            time.sleep(0.1)


@pytest.fixture(scope="session")
def engine() -> docker.DockerClient:
    """The host's Docker engine."""
    return testbed.engine.engine()


@pytest.fixture(scope="session")
def image(engine: docker.DockerClient) -> str:
    """The tier image; what it runs here is ``sleep``."""
    return ensure_image().tag
