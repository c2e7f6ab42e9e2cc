"""Reads a finished run for a Python program: tables as data frames, JSON files as dictionaries."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from testbed.errors import TestbedError
from testbed.results.columns import TABLES
from testbed.results.directory import RunDirectory
from testbed.results.ended import ended_early
from testbed.scenario.scenario import Scenario

_DTYPES = {pa.string(): "str", pa.float64(): "float64", pa.int64(): "Int64", pa.bool_(): "boolean"}
"""By a column's type; a column of lists has dtype ``object`` and Python lists in its cells."""


class Run:
    """A run directory, of which each file is read when it is first asked for.

    The frames' columns are those of the classes in :mod:`testbed.results.columns`, in their order. A run of
    an earlier schema version has them all too, with nulls for what it did not record.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory

    def __repr__(self) -> str:
        return f"<Run {self.path}>"

    @property
    def path(self) -> Path:
        """The run directory."""
        return self._directory.path

    @cached_property
    def requests(self) -> pd.DataFrame:
        """A row for each request and method (:class:`~testbed.results.columns.RequestRow`)."""
        return self._frame("requests.parquet")

    @cached_property
    def links(self) -> pd.DataFrame:
        """A row for each link, direction and method (:class:`~testbed.results.columns.LinkRow`)."""
        return self._frame("links.parquet")

    @cached_property
    def tiers(self) -> pd.DataFrame:
        """A row for each node and method (:class:`~testbed.results.columns.TierRow`)."""
        return self._frame("tiers.parquet")

    @cached_property
    def events(self) -> pd.DataFrame:
        """A row for each event and method (:class:`~testbed.results.columns.EventRow`)."""
        return self._frame("events.parquet")

    @cached_property
    def summary(self) -> dict[str, Any]:
        """``summary.json``: each method's figures, and how it differs from cloud-only."""
        return self._directory.read_summary()

    @cached_property
    def fidelity(self) -> dict[str, Any]:
        """``fidelity.json``: the verdicts, the reasons against them, and the evidence."""
        return self._directory.read_fidelity()

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """``manifest.json``: the scenario as it was run, the host, the network, how the run ended."""
        return self._directory.read_manifest()

    @cached_property
    def ended_early(self) -> str | None:
        """What ended the run before its end, in a sentence; ``None`` if nothing did."""
        return ended_early(self._directory)

    @cached_property
    def scenario(self) -> Scenario:
        """The scenario as it was run."""
        return self._directory.read_scenario()

    def pcap(self, method: str, link: str) -> Path:
        """The capture of a link under a method, ``.pcap`` or, compressed, ``.pcap.gz``: scapy opens both.

        Raises:
            TestbedError: there is none; it names those that there are.
        """
        pcaps = (self.path / "captures").glob("*/[!.]*.pcap*")
        there = sorted({f"({pcap.parent.name!r}, {pcap.name.partition('.pcap')[0]!r})" for pcap in pcaps})
        if there and f"({method!r}, {link!r})" not in there:
            raise TestbedError(
                f"{self.path} has no capture of link {link!r} under method {method!r}; "
                f"it has {', '.join(there)}"
            )
        return self._directory.capture(method, link)

    def broken_seals(self) -> list[str]:
        """What of the files is not as the run left it, in sentences; empty if everything is."""
        return self._directory.broken_seals()

    def _frame(self, table: str) -> pd.DataFrame:
        with self._directory.understood():
            no_events = table == "events.parquet" and not self.manifest["scenario"].get("events")
            rows = [] if no_events else self._directory.read_table(table)
            return pd.DataFrame(
                {
                    column.name: pd.Series(
                        [row[column.name] for row in rows], dtype=_DTYPES.get(column.type, "object")
                    )
                    for column in TABLES[table]
                }
            )


def load_run(path: Path | str) -> Run:
    """Open a run directory.

    Raises:
        TestbedError: there is none, or a later version of the testbed made it.
    """
    return Run(RunDirectory.open(Path(path)))
