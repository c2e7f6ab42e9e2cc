"""A long run whose processes are watched: ``python -m tests.faults.soak [--minutes 60] [--rate 20]``.

Prints a chapter of ``docs/RELIABILITY.md``: memory and file descriptors of every process while requests are
replayed, and what the run says of its bytes. Its exit status is 1 if a process grew by more than what it is
to remember. Needs root, as runs do.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from docker.models.containers import Container

from testbed.errors import TestbedError
from testbed.host.engine import engine
from testbed.host.processes.proc import PROC, command_line
from testbed.host.processes.program import program
from testbed.network.container import NODE_LABEL
from testbed.network.containers import RUN_LABEL
from tests.e2e.runs import LINK_PROCESS, read
from tests.faults.inject import UnderWay, under_way
from tests.faults.trial import SCENARIO

SAMPLED_EVERY_S = 10.0
LEAST_SAMPLES = 30
METHOD = "recserve"
MEMORY = "512MiB"
"""Of a tier: its server remembers each request of the method, a KiB or two each."""
TABLE = """\
Resident memory and file descriptors while requests were replayed, as means of the first and the last tenth
of the time. The slope is that of least squares over all of it. Tiers and the orchestrator remember each
request, and the probe its pings, until the method's tables are written: that is their slope. Between the
orchestrator and a device as many connections stay open as requests were ever outstanding at a time, which
are used in turn: so many descriptors both have.

| process | memory, first tenth | last tenth | slope | a request | descriptors, first | last |
| --- | --- | --- | --- | --- | --- | --- |
""".splitlines()
KEPT_BYTES = {"orchestrator": 2048, "tier": 2048, "probe_process.py": 128}
"""What a process remembers of each request, at most, by the first word of its name; others nothing."""
SLACK_BYTES_PER_H = 4_000_000
"""By so much an allocator's holes may grow."""
_PAGE_BYTES = 4096


@dataclass(frozen=True)
class Sample:
    """A process at one moment; ``at_s`` is since the first sample."""

    at_s: float
    resident_bytes: int
    descriptors: int


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=20.0, help="requests per second")
    given = parser.parse_args(arguments)
    requests = round(given.minutes * 60 * given.rate)
    interval_s = min(SAMPLED_EVERY_S, given.minutes * 60 / LEAST_SAMPLES)
    with tempfile.TemporaryDirectory(prefix="testbed-soak-") as scratch:
        out, log = Path(scratch) / "run", Path(scratch) / "log"
        changed = [
            f"--methods={METHOD}",
            f"--requests={requests}",
            f"--set=trace.arrivals.rate={given.rate:g}",
        ]
        changed += [f"--set=tiers.{tier}.memory={MEMORY}" for tier in ("device", "cloud")]
        with under_way(SCENARIO, out, log, *changed) as run:
            samples = watch(run, interval_s)
            status = run.process.wait(600)
        if status:
            raise TestbedError(f"the run ended with {status}: {log.read_text()[-2000:]}")
        links, outcomes, summary, fidelity = (
            read(out, name) for name in ("links.parquet", "requests.parquet", "summary.json", "fidelity.json")
        )
    outstanding = most_at_once(
        (row["scheduled_at_s"], row["scheduled_at_s"] + row["latency_ms"] / 1000) for row in outcomes
    )
    print(chapter(samples, links, summary, fidelity, outstanding))
    against = list(grown(samples, given.rate, outstanding))
    for complaint in against:
        print(f"soak: {complaint}", file=sys.stderr)
    return 1 if against else 0


def watch(run: UnderWay, interval_s: float) -> dict[str, list[Sample]]:
    """Sample each process of a run every ``interval_s`` while it replays; what was seen once is left out."""
    samples: dict[str, list[Sample]] = defaultdict(list)
    while run.lives and not run.said(f"{METHOD}: replaying"):
        time.sleep(0.1)
    containers = engine().containers.list(filters={"label": RUN_LABEL})
    began_s = time.monotonic()
    while run.lives and not run.said("measuring the links after"):
        at_s = time.monotonic() - began_s
        for name, pid in named(run, containers):
            if (sample := sampled(pid, at_s)) is not None:
                samples[name].append(sample)
        time.sleep(max(0.0, interval_s - (time.monotonic() - began_s - at_s)))
    return {name: seen for name, seen in samples.items() if len(seen) > 1}


def named(run: UnderWay, containers: Sequence[Container]) -> Iterator[tuple[str, int]]:
    """Each process of a run with what it is."""
    for pid in run.processes():
        words = [Path(word).name for word in command_line(pid)]
        if pid == run.process.pid:
            yield "orchestrator", pid
        elif Path(LINK_PROCESS).name in words:
            yield "link process", pid
        elif words:
            yield next((word for word in words if word in ("tcpdump", "probe_process.py")), words[0]), pid
    for container in containers:
        yield f"tier {container.labels[NODE_LABEL]}", container.attrs["State"]["Pid"]


def sampled(pid: int, at_s: float) -> Sample | None:
    """What a process holds now; ``None`` if it has ended."""
    try:
        pages = int((PROC / str(pid) / "statm").read_text().split()[1])
        return Sample(at_s, pages * _PAGE_BYTES, len(list((PROC / str(pid) / "fd").iterdir())))
    except (OSError, IndexError):
        return None


def chapter(
    samples: Mapping[str, Sequence[Sample]],
    links: Sequence[Mapping[str, Any]],
    summary: Mapping[str, Any],
    fidelity: Mapping[str, Any],
    outstanding: int,
) -> str:
    """The chapter, in Markdown; ``outstanding`` is how many requests were at a time, at most."""
    figures = summary["methods"][METHOD]
    seconds = max(seen[-1].at_s for seen in samples.values())
    rate = figures["requests"] / seconds
    frame_bytes, frames = (sum(row[name] for row in links) for name in ("frame_bytes", "frames"))
    unaccounted = sum(abs(row["unaccounted_bytes"]) for row in links)
    verdicts = ", ".join(f"{claim} {str(holds).lower()}" for claim, holds in fidelity["faithful"].items())
    against = [f"- Against {claim}: {why}." for claim, told in fidelity["reasons"].items() for why in told]
    rows = [
        f"`python -m tests.faults.soak`: {METHOD} for {seconds / 60:.1f} minutes at {rate:.1f} requests/s.",
        f"Of {figures['requests']} requests {figures['answered']} were answered; at most {outstanding} were",
        f"outstanding at a time. {frames} frames of",
        f"{frame_bytes} bytes crossed the link, {unaccounted} bytes of them unaccounted for.",
        f"Verdicts: {verdicts}.",
        *(["", *against] if against else []),
        "",
        *TABLE,
    ]
    for name, seen in sorted(samples.items()):
        first, last = tenths(seen)
        slope = slope_per_s([(sample.at_s, sample.resident_bytes) for sample in seen])
        memory = [f"{_mean(part, 'resident_bytes') / 1e6:.1f} MB" for part in (first, last)]
        grown = [f"{slope * 3600 / 1e6:+.2f} MB/h", f"{slope / rate:+.0f} B"]
        descriptors = [f"{_mean(part, 'descriptors'):.1f}" for part in (first, last)]
        rows.append(f"| {' | '.join([name, *memory, *grown, *descriptors])} |")
    return "\n".join(rows)


def grown(samples: Mapping[str, Sequence[Sample]], rate: float, outstanding: int) -> Iterator[str]:
    """Each process that grew by more than it is to keep; ``outstanding`` requests were at a time, at most."""
    for name, seen in sorted(samples.items()):
        slope = slope_per_s([(sample.at_s, sample.resident_bytes) for sample in seen])
        kept = KEPT_BYTES.get(name.split()[0], 0)
        if slope > rate * kept + SLACK_BYTES_PER_H / 3600:
            yield f"{name} grew by {slope / rate:.0f} B a request, and is to keep {kept} B of each"
        first, last = (_mean(part, "descriptors") for part in tenths(seen))
        if last > first + outstanding:
            more = f"{last - first:.0f} more descriptors"
            yield f"{name} had {more} at the end, with {outstanding} requests at a time"


def most_at_once(spans: Iterable[tuple[float, float]]) -> int:
    """How many of these times overlap, at most."""
    turns = sorted(turn for since, until in spans for turn in ((since, 1), (until, -1)))
    return max(accumulate(change for _, change in turns), default=0)


def tenths(seen: Sequence[Sample]) -> tuple[Sequence[Sample], Sequence[Sample]]:
    """The first and the last tenth of the samples, at least one of each."""
    count = max(1, len(seen) // 10)
    return seen[:count], seen[-count:]


def slope_per_s(points: Sequence[tuple[float, float]]) -> float:
    """The slope of the least squares' line through ``(seconds, value)``."""
    return statistics.linear_regression(*zip(*points, strict=True)).slope


def _mean(seen: Sequence[Sample], what: str) -> float:
    return statistics.fmean(getattr(sample, what) for sample in seen)


if __name__ == "__main__":
    with program("soak"):
        sys.exit(main(sys.argv[1:]))
