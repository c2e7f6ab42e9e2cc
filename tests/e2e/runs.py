"""Whole runs as a user starts them, and what they must not leave behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from testbed.host.engine import engine
from testbed.host.processes.run_lock import live_runs
from testbed.network.containers import RUN_LABEL
from testbed.network.leftovers import find_leftovers
from testbed.network.wiring import PREFIX
from tests import ROOT

SMOKE = ROOT / "scenarios" / "smoke.yaml"
RUN_TIMEOUT_S = 300
PROGRAMS = ("tcpdump",)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "testbed.cli", *arguments]


def run(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The smoke scenario from beginning to end."""
    return run_scenario(SMOKE, out, *arguments)


def run_scenario(scenario: Path, out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A scenario from beginning to end."""
    return subprocess.run(
        command("run", str(scenario), "--out", str(out), *arguments),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )


@contextmanager
def running(out: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The smoke scenario under way; killed at the end of the block if it still is."""
    process = subprocess.Popen(
        command("run", str(SMOKE), "--out", str(out), *arguments),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)


def wait_for(process: subprocess.Popen[str], words: str) -> str:
    """Read what the run says until it says ``words``; returns all of it."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(f"the run ended without {words!r}:\n{said}")


def read(out: Path, name: str) -> Any:
    path = out / name
    return json.loads(path.read_text()) if name.endswith(".json") else pq.read_table(path).to_pylist()


def left_behind() -> list[str]:
    """Containers, namespaces, interfaces, mounts and processes of runs, living ones and others."""
    found = [str(one) for one in find_leftovers()]
    found += [f"live run {name}" for name in live_runs()]
    listed = engine().api.containers(all=True, filters={"label": RUN_LABEL})
    found += [f"container {one['Names'][0]}" for one in listed]
    namespaces = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout.split()
    found += [f"namespace {name}" for name in namespaces if name.startswith(PREFIX)]
    found += [f"interface {name}" for name in interfaces() if name.startswith(PREFIX)]
    return found + [f"process {words}" for group, words in programs() if group not in OTHERS]


def programs() -> Iterator[tuple[int, str]]:
    """Process group and first words of all that a run starts on the host and that lives."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words, group = entry.read_bytes().split(b"\0"), os.getpgid(int(entry.parent.name))
        except OSError:
            continue
        links = any(word.endswith(b"/testbed/link_process") for word in words)
        if links or Path(os.fsdecode(words[0])).name in PROGRAMS:
            yield group, b" ".join(words[:8]).decode(errors="replace")


OTHERS = {group for group, _ in programs()}
"""Groups that were there before: what others run is nothing that these left."""


def interfaces() -> list[str]:
    return [path.name for path in Path("/sys/class/net").iterdir()]


def wait_until_nothing_is_left(timeout_s: float = 10.0) -> list[str]:
    """What is left still after a moment: a killed process takes one to go."""
    deadline = time.monotonic() + timeout_s
    while (found := left_behind()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return found
