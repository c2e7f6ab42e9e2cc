"""Whole runs as a user starts them, and what they must not leave behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from testbed.host.engine import engine
from testbed.host.processes.proc import command_line, process_ids
from testbed.host.processes.run_lock import live_runs
from testbed.host.processes.waiting import wait_until
from testbed.network.containers import RUN_LABEL
from testbed.network.leftovers import find_leftovers
from testbed.network.wiring import PREFIX
from testbed.scenario.scenario import Scenario
from testbed.scenario.workload.datasets import load
from testbed.wire.parts import BYTE_PARTS
from tests import ROOT

SMOKE = ROOT / "scenarios" / "smoke.yaml"
RUN_TIMEOUT_S = 300
PROGRAMS = ("tcpdump",)
LINK_PROCESS = str(ROOT / "testbed" / "network" / "link_process")
"""A word in the command line of a link process."""


COMMAND = (sys.executable, "-m", "testbed.cli")


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command from beginning to end."""
    return subprocess.run(
        [*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False
    )


def run(out: Path, *arguments: str, scenario: Path = SMOKE) -> subprocess.CompletedProcess[str]:
    """Run a scenario from beginning to end."""
    return run_command("run", str(scenario), "--out", str(out), *arguments)


@contextmanager
def running(out: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The smoke scenario under way; ended with the block if it still is."""
    with running_command("run", str(SMOKE), "--out", str(out), *arguments) as process:
        yield process


@contextmanager
def running_command(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command under way; ended with the block if it still is, and with time to remove what it made."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=60)
            process.kill()
        process.wait(30)


def wait_for(process: subprocess.Popen[str], words: str) -> str:
    """Read the run's output up to a line with ``words``; return all of it."""
    assert process.stdout is not None
    output = ""
    for line in process.stdout:
        output += line
        if words in line:
            return output
    raise AssertionError(f"the run ended without {words!r}:\n{output}")


def wait_for_traffic(out: Path, method: str) -> None:
    """Wait until requests of a method are on the links: a capture is written when it has a few KB."""
    pcaps = out / "captures" / method
    assert wait_until(lambda: any(pcap.stat().st_size for pcap in pcaps.glob("*.pcap")), 60, 0.1)


def rest_of_output(process: subprocess.Popen[str]) -> str:
    """Read the run's output until it ends."""
    assert process.stdout is not None
    return process.stdout.read()


def read(out: Path, name: str) -> Any:
    path = out / name
    return json.loads(path.read_text()) if name.endswith(".json") else pq.read_table(path).to_pylist()


def check_bytes(out: Path) -> list[dict[str, Any]]:
    """Check that every byte on every link has a cause; return the rows of links."""
    rows: list[dict[str, Any]] = read(out, "links.parquet")
    for row in rows:
        assert row["unaccounted_bytes"] == 0
        assert sum(row[name] for name in BYTE_PARTS) == row["frame_bytes"]
    return rows


def check_prompt_bytes(out: Path) -> None:
    """Check that the prompts on a link are those of the requests whose path has it."""
    scenario = Scenario.model_validate(read(out, "manifest.json")["scenario"])
    topology = scenario.topology
    prompts = {example.row: example.text for example in load(scenario.task.data, "test")}
    asked = {
        line["id"]: len(prompts[line["row"]].encode())
        for line in map(json.loads, (out / "trace.jsonl").read_text().splitlines())
    }
    expected: Counter[tuple[str, str]] = Counter()
    for row in read(out, "requests.parquet"):
        for lower, upper in pairwise(row["path"]):
            link = topology.link_up(lower)
            assert link is not None
            assert link.parent == upper
            expected[row["method"], link.name] += asked[row["request_id"]]
    for row in read(out, "links.parquet"):
        if row["direction"] == "up":
            assert row["prompt_bytes"] == expected[row["method"], row["link"]]


def left_behind() -> list[str]:
    """Containers, namespaces, interfaces, mounts and processes of runs, living ones and others."""
    left = [f"{leftover.kind} {leftover.name}" for leftover in find_leftovers()]
    left += [f"live run {name}" for name in live_runs()]
    containers = engine().api.containers(all=True, filters={"label": RUN_LABEL})
    left += [f"container {container['Names'][0].lstrip('/')}" for container in containers]
    namespaces = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout.split()
    left += [f"namespace {name}" for name in namespaces if name.startswith(PREFIX)]
    interfaces = [path.name for path in Path("/sys/class/net").iterdir()]
    left += [f"interface {name}" for name in interfaces if name.startswith(PREFIX)]
    return left + [f"process {words}" for group, words in programs() if group not in OTHERS]


def programs() -> Iterator[tuple[int, str]]:
    """Process group and first words of each living process that a run starts on the host.

    Those of tests that run apart (.ci/apart) have process numbers of their own.
    """
    numbers = Path("/proc/self/ns/pid").readlink()
    for pid in process_ids():
        words = command_line(pid)
        if LINK_PROCESS in words or (words and Path(words[0]).name in PROGRAMS):
            with suppress(ProcessLookupError, FileNotFoundError):
                if Path(f"/proc/{pid}/ns/pid").readlink() == numbers:
                    yield os.getpgid(pid), " ".join(words[:8])


OTHERS = {group for group, _ in programs()}
"""Process groups that were there before these tests."""


def wait_until_nothing_is_left() -> list[str]:
    """Wait a moment, which killed processes take to end; return what is left after it."""
    wait_until(lambda: not left_behind(), 10, 0.5)
    return left_behind()
