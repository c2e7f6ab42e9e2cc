"""Tries all faults in all phases and writes the document: ``python -m tests.faults`` (``make faults``).

Needs root, as runs do. Cells are named as in ``"SIGINT while loading"``; given any, only those are tried and
no document is written. With ``--seen FILE`` what was found is kept there, and is not tried again the next
time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from testbed.errors import TestbedError
from testbed.host.engine import engine
from testbed.host.facts import host_facts
from testbed.host.processes.program import program
from tests import ROOT
from tests.faults.document import document, holds
from tests.faults.inject import own_engine
from tests.faults.matrix import CELLS, Cell, Seen, cell_of, complaints
from tests.faults.trial import try_cell

DOCUMENT = ROOT / "docs" / "RELIABILITY.md"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("cells", nargs="*", type=cell_of, metavar="CELL")
    parser.add_argument("--seen", type=Path, help="a file of JSON lines that keeps what was found")
    parser.add_argument("--soak", type=Path, help="what `python -m tests.faults.soak` printed")
    parser.add_argument("--out", type=Path, default=DOCUMENT, help="the document")
    given = parser.parse_args(arguments)
    commit = str(host_facts()["commit"])[:12]
    found = read_seen(given.seen) if given.seen else {}
    engine()
    if own_engine() is None:
        raise TestbedError("the Docker engine here is not the testbed's own, and so not to be killed; end it")
    began_s = time.monotonic()
    for cell in given.cells or CELLS:
        if cell.lacks_target or cell in found:
            continue
        with tempfile.TemporaryDirectory(prefix="testbed-faults-") as scratch:
            try:
                seen = replace(try_cell(cell, Path(scratch)), commit=commit)
            except (TestbedError, subprocess.TimeoutExpired) as error:
                print(f"{time.monotonic() - began_s:6.0f} s  {cell}: not tried: {error}", flush=True)
                continue
        found[cell] = seen
        if given.seen:
            with given.seen.open("a") as file:
                file.write(json.dumps({"cell": str(cell)} | asdict(seen)) + "\n")
        told = "; ".join(complaints(cell, seen)) or "holds"
        print(f"{time.monotonic() - began_s:6.0f} s  {cell}: {seen.status}; {told}", flush=True)
    if not given.cells:
        soak = given.soak.read_text() if given.soak else ""
        given.out.write_text(document(found, soak, host=host(), date=f"{datetime.now(UTC):%Y-%m-%d}"))
        print(f"written: {given.out}")
    return 0 if holds(found, given.cells or CELLS) else 1


def host() -> str:
    """Where the cells were tried, for the document's head."""
    facts = host_facts()
    kernel, cpus, docker = facts["kernel"], facts["cpus"], facts["tools"]["docker"]
    return f"{facts['distribution']}, kernel {kernel}, {cpus} CPUs, {docker}"


def read_seen(path: Path) -> dict[Cell, Seen]:
    """What an earlier call has found; the last of each cell counts."""
    if not path.exists():
        return {}
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {cell_of(line.pop("cell")): seen_of(line) for line in lines}


def seen_of(written: Mapping[str, Any]) -> Seen:
    """What was seen, as JSON has it."""
    lists = {name: tuple(written[name]) for name in ("left", "left_after_clean", "report") if written[name]}
    reasons = {claim: tuple(told) for claim, told in written["reasons"].items()}
    return Seen(
        **{**written, "left": (), "left_after_clean": (), "report": None, **lists, "reasons": reasons}
    )


if __name__ == "__main__":
    with program("faults"):
        sys.exit(main(sys.argv[1:]))
