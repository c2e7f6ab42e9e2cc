"""``testbed validate``: runs the checks of :mod:`testbed.validation` and keeps all that they measured.

``results/validate-<UTC time>/`` then holds ``manifest.json`` (host, kernel, settings), ``validation.json``
(each check's figures and verdict), ``samples.parquet`` (the single measurements behind them), and captures.
"""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.host.cgroup_limits import own_limits
from testbed.host.facts import host_facts
from testbed.host.processes.run_lock import new_run_id, run_lock
from testbed.orchestrator.room import require_own_room
from testbed.results.directory import RunDirectory, utc_now
from testbed.validation.bench import Bench
from testbed.validation.check import Check, CheckResult
from testbed.validation.figures import Figure
from testbed.validation.registry import select

SCHEMA_VERSION = 1
_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("check", pa.string()),
    ("quantity", pa.string()),
    ("unit", pa.string()),
    ("index", pa.int64()),
    ("value", pa.float64()),
]
SAMPLES = pa.schema(_COLUMNS)
_LINKS, _NODES = 4, 8
"""At most so many at a time, in any check."""
MOST_ATTEMPTS = 3
"""A host that paused fails a check now and then, an emulator that is wrong fails it every time."""


def validate(
    only: Sequence[str] | None, out: Path | None, reporter: Reporter, *, short: bool = False
) -> RunDirectory:
    """Run the named checks, or all, and keep their results. A check that breaks is a check that fails.

    Raises:
        TestbedError: there is no such check, this host cannot make a network, another run is going on, or the
            directory cannot be made.
    """
    chosen = select(only)
    require_own_room("a validation", own_limits(), _LINKS, _NODES)
    run_id = new_run_id()
    with run_lock(run_id), ExitStack() as stack:
        directory = RunDirectory.create(out, "validate")
        record = _Record(directory, short, chosen)
        stack.callback(record.seal)
        reporter.say(f"{len(chosen)} checks; results go to {directory.path}")
        bench = stack.enter_context(Bench.open(run_id, directory.path, reporter, short=short))
        record.manifest["network"] = bench.network.settings()
        for number, check in enumerate(chosen, 1):
            reporter.say(f"{number} of {len(chosen)}, {check.name}: {check.question}")
            result = run_check(check, bench)
            record.note(result)
            reporter.say(f"{check.name}: {_outcome(result)}")
        record.manifest["status"] = "finished"
    return directory


def run_check(check: Check, bench: Bench) -> CheckResult:
    """Run a check; again, if it fails and chance or a busy host may be the cause. The note says so."""
    failed: list[str] = []
    result = _run_once(check, bench)
    while result.verdict != "pass" and not check.exact and len(failed) < MOST_ATTEMPTS - 1:
        failed.append(f"attempt {len(failed) + 1} failed ({'; '.join(_complaints(result))})")
        result = _run_once(check, bench)
    note = "; ".join(part for part in (result.note, *failed) if part)
    return replace(result, note=note, attempts=len(failed) + 1)


def _run_once(check: Check, bench: Bench) -> CheckResult:
    figures: list[Figure] = []
    note, started_s = "", time.monotonic()
    try:
        figures.extend(check.measure(bench))
    except (TestbedError, OSError, ValueError) as error:
        note = str(error) or type(error).__name__
        figures.append(Figure("the check broke", "", 0.0, None, 0.0, 0.0, "", note))
    seconds = time.monotonic() - started_s
    return CheckResult(check, tuple(figures), seconds, note)


def _complaints(result: CheckResult) -> list[str]:
    return [
        f"{figure.quantity}: {_short(figure.measured)} {figure.unit}, "
        f"expected {figure.low:g} to {figure.high:g}"
        for figure in result.figures
        if not figure.ok
    ]


def _short(measured: float | None) -> str:
    return "nothing" if measured is None else f"{measured:.6g}"


def _outcome(result: CheckResult) -> str:
    complaints = _complaints(result)
    return f"{result.verdict} in {result.seconds:.1f} s" + "".join(f"; {text}" for text in complaints[:3])


class _Record:
    """Writes the directory's files while checks run, so that what was measured is there whatever ends it."""

    def __init__(self, directory: RunDirectory, short: bool, chosen: Sequence[Check]) -> None:
        self._directory, self._short = directory, short
        self._results = {
            check.name: CheckResult(check, (), note="it did not come to it", ran=False) for check in chosen
        }
        self.manifest: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "kind": "validation",
            "status": "cut off",
            "started_at": utc_now(),
            "short": short,
            "host": host_facts(),
        }
        self._write()

    def note(self, result: CheckResult) -> None:
        self._results[result.check.name] = result
        self._write()

    def seal(self) -> None:
        self.manifest["ended_at"] = utc_now()
        self._write()
        rows = [
            {
                "check": result.check.name,
                "quantity": figure.quantity,
                "unit": figure.unit,
                "index": index,
                "value": value,
            }
            for result in self._results.values()
            for figure in result.figures
            for index, value in enumerate(figure.samples)
        ]
        self._directory.write_table("samples.parquet", rows, SAMPLES)
        self._directory.seal()

    def _write(self) -> None:
        results = list(self._results.values())
        verdicts = Counter(result.verdict for result in results)
        self._directory.write_json("manifest.json", self.manifest)
        self._directory.write_json(
            "validation.json",
            {
                "schema_version": SCHEMA_VERSION,
                "short": self._short,
                "kernel": platform.release(),
                "passed": verdicts["fail"] == 0 and verdicts["pass"] > 0,
                "verdicts": {verdict: verdicts[verdict] for verdict in ("pass", "fail", "not run")},
                "checks": [result.to_json() for result in results],
            },
        )
