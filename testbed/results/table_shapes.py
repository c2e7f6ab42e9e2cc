"""What the tables of a run directory must be like, so that whoever reads one can rely on it.

Whether a figure is right is not asked here: :mod:`testbed.results.anew` computes it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import pyarrow as pa
import pyarrow.compute as pc

from testbed.results.columns import TABLES, EventRow, LinkRow, RequestRow, TierRow
from testbed.results.shape import MOST, MOST_REAL
from testbed.scenario.scenario import Scenario
from testbed.scenario.topology import DIRECTIONS

ROWS: dict[str, type] = dict(zip(TABLES, (RequestRow, LinkRow, TierRow, EventRow), strict=True))
"""By table, the class of its rows."""
SINCE: dict[str, dict[str, int]] = {
    "requests.parquet": {
        "made_up": 3, "prompt_bytes": 3, "score": 4, "degraded": 4, "skipped": 4,
        "batch_sizes": 6, "prompt_tokens": 6, "generated_tokens": 6, "cost": 6, "backend_ms": 6,
    },
    "links.parquet": {"duplicated_frames": 2, "held_frames": 2},
    "tiers.parquet": {"waited_s": 2, "breaker_opened": 4, "breaker_refused": 4},
    "events.parquet": {"flow_payload_at_s": 4, "flow_attempts": 4},
}  # fmt: skip
"""By table: from which schema version on all runs have a column; without an entry, from the first."""
PER_NODE = (
    "confidences", "thresholds", "window_seqs", "window_lengths", "kept", "node_answers", "queue_ms",
    "inference_ms", "own_ms", "upstream_ms", "forward_errors", "repeats", "lives", "made_up", "skipped",
    "batch_sizes", "prompt_tokens", "generated_tokens", "backend_ms",
)  # fmt: skip
"""Of ``requests.parquet``: lists as long as ``path``."""
PER_HOP = ("hop_prompt_bytes", "hop_answer_bytes", "hop_up_ms", "hop_down_ms")
"""Likewise: lists as long as ``hops``."""
SIGNED = ("unaccounted_bytes", "unattributed_bytes")
"""Differences of counts, which may be below 0; no other whole number may."""


def wrong_columns(name: str, there: pa.Schema, wanted: Sequence[str], version: int) -> str | None:
    """What of a table's columns is not as a run of that schema version has them, in a sentence."""
    for column in wanted:
        times = there.names.count(column)
        if times > 1 or (times == 0 and SINCE[name].get(column, 1) <= version):
            return f"has {times or 'no'} column{'s' * (times > 1)} {column}"
        if times and (found := there.field(column).type) != (kind := TABLES[name].field(column).type):
            return f"column {column} is of type {found}, not {kind}"
    return None


def wrong_values(name: str, table: pa.Table, version: int, scenario: Scenario) -> str | None:
    """What of a table, whose columns are right, cannot be in a run of the scenario, in a sentence."""
    found = (_impossible(name, table, version), _lengths(table), _unknown(table, scenario))
    wrong = next((text for some in found for text in some), None)
    if wrong is None and name == "links.parquet":
        return next(_absent_links(table, scenario), None)
    return wrong


def _impossible(name: str, table: pa.Table, version: int) -> Iterator[str]:
    """Nulls where none may be, and numbers that are none."""
    hints = get_type_hints(ROWS[name])
    for column in table.column_names:
        values: Any = table[column].combine_chunks()
        hint = hints[column]
        if values.null_count and not _may_be_null(hint) and SINCE[name].get(column, 1) <= version:
            yield f"column {column} has a null"
        if get_origin(hint) is list:
            values, hint = pc.list_flatten(values), get_args(hint)[0]
            if values.null_count and not _may_be_null(hint):
                yield f"column {column} has a null in a list"
        if pa.types.is_floating(values.type):
            yield from (f"column {column} has {odd}" for odd in _beyond(values, -MOST_REAL, MOST_REAL))
        elif pa.types.is_integer(values.type):
            least = -MOST if column in SIGNED else 0
            yield from (f"column {column} has {odd}" for odd in _beyond(values, least, MOST))


def _may_be_null(hint: Any) -> bool:
    return NoneType in get_args(hint)


def _beyond(values: Any, least: float, most: float) -> list[Any]:
    """Numbers that no run has: NaN is one of them."""
    numbers = values.drop_null().to_numpy(zero_copy_only=False)
    beyond: list[Any] = numbers[~((numbers >= least) & (numbers <= most))].tolist()
    return beyond


def _lengths(table: pa.Table) -> Iterator[str]:
    """Where lists of a request are not as long as its path, or its hops."""
    for of, columns in (("path", PER_NODE), ("hops", PER_HOP)):
        if of in table.column_names:
            lengths = pc.list_value_length(table[of])
            for column in set(columns).intersection(table.column_names):
                if pc.any(pc.not_equal(pc.list_value_length(table[column]), lengths)).as_py():
                    yield f"column {column} has a list that is not as long as {of}"


def _unknown(table: pa.Table, scenario: Scenario) -> Iterator[str]:
    """Where a name is none of the scenario's."""
    topology, tiers = scenario.topology, scenario.tier_names
    nodes = [node.name for node in topology.nodes]
    known: Mapping[str, Sequence[str]] = {
        "method": [method.name for method in scenario.methods],
        "device": [node.name for node in topology.nodes if node.tier == tiers[0]],
        "tier": tiers,
        "node": nodes,
        "path": nodes,
        "link": [link.name for link in topology.links],
        "hops": [link.name for link in topology.links],
        "direction": list(DIRECTIONS),
    }
    for column in known.keys() & set(table.column_names):
        values = table[column].combine_chunks()
        names = pc.list_flatten(values) if pa.types.is_list(values.type) else values
        for name in pc.unique(names).to_pylist():
            if name is not None and name not in known[column]:
                yield f"column {column} has {name!r}, which is not in the scenario"


def _absent_links(table: pa.Table, scenario: Scenario) -> Iterator[str]:
    """Where a method has not one row of each link's each direction."""
    if not {"method", "link", "direction"} <= set(table.column_names):
        return
    keys = zip(*(table[column].to_pylist() for column in ("method", "link", "direction")), strict=True)
    there = dict.fromkeys(keys)  # in a table of a thousand links a list would be searched for seconds
    if len(there) < table.num_rows:
        yield "has two rows of one method, link and direction"
    links = [link.name for link in scenario.topology.links]
    for method in dict.fromkeys(method for method, _, _ in there):
        for link, direction in product(links, DIRECTIONS):
            if (method, link, direction) not in there:
                yield f"has no row of {link} {direction} under {method}"
