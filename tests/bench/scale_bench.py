"""What a large network costs: ``python -m tests.bench.scale_bench [RUN] [--devices 100]``.

Runs ``scenarios/hundred.yaml`` with so many devices and a tenth as many edges. Prints the time by phase, the
most memory by kind of process, the frames, how late the link process was, and the verdicts. With a finished
run's directory it prints all but the memory of processes outside containers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

SCENARIO = "scenarios/hundred.yaml"
LOOK_S = 15.0
PROGRAMS = {"containerd-shim-runc-v2": "engine's shims", "dockerd": "engine", "containerd": "engine"}
"""Processes of Docker engines, by the name of their program; all that the host has."""
OWN = {
    "link_process": "link process",
    "tcpdump": "captures",
    "/probe": "probes",
    "testbed.cli": "orchestrator",
}
"""Processes that the run started, by a word of their command line."""


class MemoryWatch(threading.Thread):
    """The most memory of each kind of process at one moment, by a look every 15 s (smaps_rollup, proc(5)).

    Attributes:
        most: by kind, how many processes there were and their bytes; of a page that several share, its part.
    """

    def __init__(self, ancestor: int) -> None:
        super().__init__(daemon=True)
        self.most: dict[str, tuple[int, int]] = {}
        self._ancestor, self._ended = ancestor, threading.Event()

    def run(self) -> None:
        while not self._ended.wait(LOOK_S):
            now: dict[str, list[int]] = defaultdict(list)
            for pid, kind in _kinds(self._ancestor):
                with suppress(OSError, StopIteration, ValueError):
                    now[kind].append(_own_bytes(pid))
            for kind, sizes in now.items():
                if sum(sizes) > self.most.get(kind, (0, 0))[1]:
                    self.most[kind] = len(sizes), sum(sizes)

    def stop(self) -> None:
        self._ended.set()
        self.join()


def _own_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) << 10


def _kinds(ancestor: int) -> Iterator[tuple[int, str]]:
    """Processes below ``ancestor``, itself included, and those of engines."""
    parents, commands = {}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            commands[int(entry.name)] = (entry / "cmdline").read_text().split("\0")
    for pid, words in commands.items():
        if (kind := PROGRAMS.get(words[0].rpartition("/")[2])) is not None:
            yield pid, kind
            continue
        above = pid
        while above not in (0, ancestor):
            above = parents.get(above, 0)
        kind = next((kind for part, kind in OWN.items() if any(part in word for word in words)), None)
        if above == ancestor and kind is not None:
            yield pid, kind


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--devices", type=int, default=100)
    parser.add_argument("--requests", type=int, default=2000)
    options = parser.parse_args(arguments)
    if options.run is not None:
        show(options.run)
        return
    with tempfile.TemporaryDirectory(prefix="testbed-bench-") as scratch:
        out = Path(scratch) / "run"
        command = [sys.executable, "-m", "testbed.cli", "run", SCENARIO, "--out", str(out)]
        command += ["--set", f"tiers.device.nodes={options.devices}", "--requests", str(options.requests)]
        command += ["--set", f"tiers.edge.nodes={max(1, options.devices // 10)}"]
        began_s = time.monotonic()
        with subprocess.Popen(command) as process:
            watch = MemoryWatch(process.pid)
            watch.start()
            try:
                status = process.wait(timeout=3600)
            except subprocess.TimeoutExpired:
                process.terminate()  # it seals what it has, and takes its network down
                raise
            finally:
                watch.stop()
        assert status == 0, f"the run ended with {status}"
        print(f"\n{time.monotonic() - began_s:.0f} s in all, from the command to its page")
        show(out)
        for kind, (count, sum_bytes) in watch.most.items():
            print(f"memory: {count} × {kind}, {sum_bytes / 1e6:.0f} MB")


def show(run: Path) -> None:
    """Print what a run's directory says of it."""
    manifest: dict[str, Any] = json.loads((run / "manifest.json").read_text())
    fidelity: dict[str, Any] = json.loads((run / "fidelity.json").read_text())
    phases_s = manifest["phases_s"]
    print(f"{len(manifest['nodes'])} nodes, {len(manifest['links'])} links")
    print("time: " + ", ".join(f"{phase.replace('_', ' ')} {s:.1f} s" for phase, s in phases_s.items()))
    nodes = [node["cgroup_anon_bytes"] / 1e6 for node in manifest["nodes"].values()]
    print(f"memory: {len(nodes)} × container, {sum(nodes):.0f} MB anonymous, {max(nodes):.0f} MB at most")
    columns = ["method", "frames", "frame_bytes", "lost_frames"]
    rows = pq.read_table(run / "links.parquet", columns=columns).to_pylist()
    for method, report in fidelity["link_process"].items():
        frames, size, lost = (
            sum(row[column] for row in rows if row["method"] == method) for column in columns[1:]
        )
        cpu = statistics.fmean(report["cpu_by_second"])
        late_ms = max(report[act]["p99_ms"] for act in ("put_on_wire", "handed_on"))
        print(f"{method}: {frames:,} frames, {size / 1e6:.1f} MB, {lost:,} lost")
        cpus = fidelity["cpu"][method]
        print(f"{method}: CPUs busy {cpus['busy']:.0%}, more runnable than CPUs {cpus['contended']:.1%}")
        print(f"{method}: link process at {cpu:.1%} of a CPU, {late_ms:.2f} ms late at p99")
    for claim, holds in fidelity["faithful"].items():
        why = "".join(f"; {reason}" for reason in fidelity["reasons"][claim][:3])
        print(f"{claim}: {holds}{why}")


if __name__ == "__main__":
    main(sys.argv[1:])
