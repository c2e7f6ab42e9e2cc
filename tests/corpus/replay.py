"""``python -m tests.corpus.replay [--slow]`` hands in every kept input, with little time and memory for each.

It prints a line of JSON for each: its name, and its :class:`Outcome`. A kept file whose name ends with
``.bz2`` is unpacked first. With ``--slow`` it hands in those whose names begin with ``slow-``, otherwise the
others.
"""

from __future__ import annotations

import bz2
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

from testbed.scenario.workload.datasets import load
from tests.corpus.feeds import FEEDS, Feed, refusal
from tests.corpus.served import Served, serving

KEPT = Path(__file__).parent / "kept"
"""By kind and expected outcome (``refused`` or ``taken``), the kept inputs."""
PACKED = ".bz2"
SLOW = "slow-"
MOST_RESIDENT_BYTES = 1 << 30
"""At the highest, of the process that reads them; it has 200 MiB at first, and 500 after the largest."""
MOST_DATA_BYTES = 8 << 30
"""A net for the machine. Arrow's allocator maps 1 GiB at a time, most of which it never touches."""
CPU_S = 60
"""The slowest inputs need some 5 s."""
WALL_S = 120
"""A process that uses no CPU for so long waits for what will not come."""

HandIn = Callable[[Path], str | None]
"""Takes an input's file; says how it is refused, if it is."""


@dataclass(frozen=True)
class Outcome:
    """How an input ended: refused with a sentence, taken without one, or by a defect."""

    refusal: str | None = None
    defect: str | None = None


def kept(kind: str, *, slow: bool) -> list[Path]:
    """The kept inputs of a kind."""
    return [path for path in sorted((KEPT / kind).glob("*/*")) if path.name.startswith(SLOW) == slow]


def unpacked(path: Path, folder: Path) -> Path:
    """A kept input as the file that is handed in, in ``folder``."""
    if path.suffix != PACKED:
        return Path(shutil.copy(path, folder))
    target = folder / path.stem
    with bz2.open(path) as packed, target.open("wb") as file:
        shutil.copyfileobj(packed, file)
    return target


def confined(hand_in: HandIn, paths: Sequence[Path]) -> list[Outcome]:
    """The outcomes of inputs, which another process hands in, up to the first that is its end."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _hand_in(hand_in, paths, writing)
    os.close(writing)
    outcomes, buffer = [], b""
    while select.select([reading], [], [], WALL_S)[0] and (piece := os.read(reading, 1 << 16)):
        *lines, buffer = (buffer + piece).split(b"\n")
        outcomes += [Outcome(**json.loads(line)) for line in lines]
    os.close(reading)
    if len(outcomes) < len(paths):
        os.kill(child, signal.SIGKILL)  # if it waits
    _, status, used = os.wait4(child, 0)
    if len(outcomes) < len(paths):
        ending = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"status {status}"
        outcomes.append(Outcome(defect=f"it ended the process that read it ({ending})"))
    elif (resident_bytes := used.ru_maxrss * 1024) > MOST_RESIDENT_BYTES:
        outcomes[-1] = Outcome(defect=f"{resident_bytes >> 20} MiB, after it or one before it")
    return outcomes


def _hand_in(hand_in: HandIn, paths: Sequence[Path], writing: int) -> NoReturn:
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_DATA_BYTES, MOST_DATA_BYTES))
    with open(writing, "w", encoding="utf-8") as pipe:
        for path in paths:
            signal.setitimer(signal.ITIMER_PROF, CPU_S)  # which ends the process
            try:
                with tempfile.TemporaryDirectory() as folder:
                    outcome = Outcome(hand_in(unpacked(path, Path(folder))))
            except Exception:
                outcome = Outcome(defect=traceback.format_exc(limit=-8))
            print(json.dumps(asdict(outcome)), file=pipe, flush=True)
    os._exit(0)


def replay(hand_in: HandIn, paths: Sequence[Path]) -> None:
    """Hand in all of them, and tell how each ended."""
    while paths:
        outcomes = confined(hand_in, paths)
        for path, outcome in zip(paths, outcomes, strict=False):
            print(json.dumps({"name": str(path.relative_to(KEPT)), **asdict(outcome)}), flush=True)
        paths = paths[len(outcomes) :]


def main(*, slow: bool) -> None:
    """Replay all that is kept."""
    load("rotten_tomatoes", "test")  # once, and not in each process
    for kind, feed in FEEDS.items():
        replay(partial(_fed, feed), kept(kind, slow=slow))
    if not slow:
        with serving() as server:
            replay(partial(_sent, server), kept("http", slow=slow))
            server.check_well()


def _fed(feed: Feed, path: Path) -> str | None:
    return refusal(feed, path)


def _sent(server: Served, path: Path) -> str | None:
    return server.refusal(path.read_bytes())


if __name__ == "__main__":
    main(slow="--slow" in sys.argv[1:])
