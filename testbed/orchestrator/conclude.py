"""Writes a run's tables, verdicts and summary, and seals its directory."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from testbed.host.cgroup_limits import container_limits
from testbed.orchestrator.method import MethodResult
from testbed.orchestrator.prepare import Inputs
from testbed.results.audit import audit
from testbed.results.columns import EVENTS, LINKS, REQUESTS, TIERS, total
from testbed.results.directory import RunDirectory
from testbed.results.evidence import Evidence, TierLimit
from testbed.results.fidelity import judge
from testbed.results.offload import tie_warnings
from testbed.results.summary import summarise
from testbed.scenario.reports import Finding


@dataclass
class Measured:
    """What a run has measured so far: each method that ended, and the links before and after them."""

    methods: list[MethodResult] = field(default_factory=list)
    links_before: list[Finding] | None = None
    links_after: list[Finding] | None = None

    def rows(self, table: Literal["requests", "links", "tiers"]) -> list[dict[str, Any]]:
        """The rows of a table, of all methods that ended."""
        return [row for result in self.methods for row in getattr(result, table)]


def save_tables(directory: RunDirectory, inputs: Inputs, measured: Measured) -> None:
    """Write the tables of all methods that ended."""
    directory.write_table("requests.parquet", measured.rows("requests"), REQUESTS)
    directory.write_table("links.parquet", measured.rows("links"), LINKS)
    directory.write_table("tiers.parquet", measured.rows("tiers"), TIERS)
    if inputs.scenario.events:
        events = [asdict(event) for result in measured.methods for event in result.observed.events]
        directory.write_table("events.parquet", events, EVENTS)


def conclude(directory: RunDirectory, inputs: Inputs, measured: Measured) -> None:
    """Write tables, verdicts and summary, and seal the directory; what a run lacks counts against it."""
    save_tables(directory, inputs, measured)
    fidelity = judge(_evidence(directory, inputs, measured))
    written = fidelity.to_json()
    written["notes"] += [text for result in measured.methods for text in result.findings]
    requests, links = measured.rows("requests"), measured.rows("links")
    summary = summarise(inputs.scenario, requests, links, fidelity.faithful)
    for name, figures in summary["methods"].items():
        written["notes"] += tie_warnings(name, figures["offload"])
    directory.write_json("fidelity.json", written)
    directory.write_json("summary.json", summary)
    directory.seal()


def _evidence(directory: RunDirectory, inputs: Inputs, measured: Measured) -> Evidence:
    scenario, results = inputs.scenario, measured.methods
    calibration = directory.read_calibration()
    is_lockstep = scenario.replay.mode == "lockstep"
    is_whole = len(results) == len(scenario.methods)
    return Evidence(
        accounts=[account for result in results for account in result.accounts] if is_whole else None,
        audit=audit(scenario, measured.rows("requests"), calibration) if is_whole else None,
        outcomes=[result.outcomes for result in results] if is_whole else None,
        links_before=measured.links_before,
        links_after=measured.links_after,
        lateness=None if is_lockstep else [result.lateness for result in results],
        unexplained=[result.unexplained for result in results],
        backlog={result.method: result.backlog for result in results},
        lockstep=is_lockstep,
        closed_users=scenario.replay.users,
        cpu={result.method: result.observed.cpu for result in results},
        probes={result.method: result.observed.probes for result in results},
        tiers=_limits(inputs, measured),
        machine_cpus=container_limits().usable_cpus,
        link_process={
            result.method: result.observed.link_process for result in results if inputs.topology.links
        },
        events=[event for result in results for event in result.observed.events],
        overflows=[overflow for result in results for overflow in result.overflows],
    )


def _limits(inputs: Inputs, measured: Measured) -> list[TierLimit]:
    """Each node's CPU limit, and how it was throttled over all methods."""
    limits = []
    for node in inputs.topology.nodes:
        rows = [row for row in measured.rows("tiers") if row["node"] == node.name]
        limits.append(
            TierLimit(
                node.name,
                inputs.asked_cpus[node.tier],
                inputs.scenario.tier(node.tier).cpus,
                periods=total(rows, "periods"),
                throttled_periods=total(rows, "throttled_periods"),
                throttled_s=total(rows, "throttled_s"),
                requests={
                    result.method: sum(node.name in row["path"] for row in result.requests)
                    for result in measured.methods
                },
                ran_s={row["method"]: row["cpu_seconds"] for row in rows},
                waited_s={row["method"]: row["waited_s"] for row in rows},
            )
        )
    return limits
