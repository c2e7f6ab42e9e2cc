"""Says which files a run lacks that came to its end, and what of it is of no such version as it says.

Who takes a file away, or calls a run older than it is, takes away what its figures are held against.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from testbed.results.columns import TABLES
from testbed.results.directory import RunDirectory
from testbed.results.ended import FINISHED
from testbed.results.recorded import Recorded
from testbed.results.seals import SUMS
from testbed.results.shapes import TRACE
from testbed.results.table_shapes import SINCE
from testbed.scenario.scenario import RESOLVED, Scenario

FIDELITY_SCHEMAS = {1: (1,), 2: (1, 2), 3: (2,), 4: (2,), 5: (2,), 6: (3, 4, 5)}
"""By a run's schema version, what ``schema`` its ``fidelity.json`` may have."""
RESOLVED_SINCE = 5
"""From which schema version on runs leave their scenario."""
_IN_SOME_SINCE = {"flow_payload_at_s": 3, "flow_attempts": 3}
"""Columns that some runs had before the version from which on all have them."""


def lacking(directory: RunDirectory, scenario: Scenario) -> Iterator[str]:
    """A sentence for each file that a run that was concluded leaves, and that is not there.

    What methods knew beforehand is asked for by the methods' rules.
    """
    manifest = directory.read_manifest()
    is_finished = manifest["status"] == FINISHED
    # One that ended early is concluded too, if its last words fitted on the disk; older ones were not all.
    if not is_finished and not ("broken_off" in manifest and (directory.path / SUMS).is_file()):
        return
    names = ["summary.json", "fidelity.json", "links.parquet", "tiers.parquet"]
    names += ["events.parquet"] if scenario.events else []
    if is_finished:
        names += [TRACE, RESOLVED] if directory.schema_version() >= RESOLVED_SINCE else [TRACE]
    yield from (f"{name} is missing" for name in names if not (directory.path / name).is_file())
    if is_finished and scenario.captures != "discard":
        for method in scenario.methods:
            for link in scenario.topology.links:
                if directory.found_capture(method.name, link.name) is None:
                    yield f"captures/{method.name}/{link.name}.pcap is missing"


def lacking_rows(run: Recorded) -> Iterator[str]:
    """A sentence for each method of a run that finished of which a table has no row, and for each node."""
    if run.directory.read_manifest()["status"] != FINISHED:
        return
    topology = run.scenario.topology
    counted = {row["method"] for row in run.links or ()}
    nodes = Counter((row["method"], row["node"]) for row in run.tiers or ())
    for method in run.scenario.methods:
        if run.links is not None and topology.links and method.name not in counted:
            yield f"links.parquet: has no row of {method.name}"
        for node in topology.nodes if run.tiers is not None else ():
            if (times := nodes[method.name, node.name]) != 1:
                rows = f"{times} rows" if times else "no row"
                yield f"tiers.parquet: has {rows} of {node.name} under {method.name}"


def newer_columns(directory: RunDirectory) -> Iterator[str]:
    """A sentence for each table with columns that no run of the manifest's schema version has."""
    version = directory.schema_version()
    for name in TABLES:
        if not (directory.path / name).exists():
            continue
        since = {**SINCE[name], **_IN_SOME_SINCE}
        newer = [column for column in directory.columns(name) if since.get(column, 1) > version]
        if newer:
            yield (
                f"{name}: has {', '.join(newer)}, and runs of schema version {version}, as manifest.json has "
                "it, have no such columns"
            )


def wrong_fidelity_schema(version: int, schema: Any) -> str | None:
    """What is wrong with the ``schema`` of ``fidelity.json`` in a run of a schema version, in a sentence."""
    known = FIDELITY_SCHEMAS[version]
    if type(schema) is int and schema in known:
        return None
    have = " or ".join(map(str, known))
    return f"schema is {schema!r}, and runs of schema version {version} have {have}"
