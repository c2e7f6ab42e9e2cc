"""Writes a run's tables, verdicts and summary, and seals its directory.

Where runs share a network, the links are measured after several of them: what rests on that is judged anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from testbed.errors import TestbedError
from testbed.host.cgroup_limits import container_limits
from testbed.orchestrator.measurement import Measurement
from testbed.orchestrator.method import MethodResult
from testbed.orchestrator.prepare import Inputs
from testbed.orchestrator.rows.standstill import quotas
from testbed.results.audit import audit
from testbed.results.columns import EVENTS, LINKS, REQUESTS, TIERS, total
from testbed.results.directory import RunDirectory
from testbed.results.evidence import BrokenOff, ChangedFile, Evidence, TierLimit
from testbed.results.fidelity import JUDGED, Fidelity, judge
from testbed.results.offload import tie_warnings
from testbed.results.summary import summarise
from testbed.results.times import served_s
from testbed.scenario.topology import Link


@dataclass
class Measured:
    """What a run has measured so far: each method as far as it came, and the links before and after them.

    ``pending``: the links will be measured later, after other runs too. ``inputs`` are in place of the run's
    where only its end shows who asked what. ``changed``: files that did not stay as the manifest has them.
    """

    methods: list[MethodResult] = field(default_factory=list)
    before: Measurement | None = None
    after: Measurement | None = None
    pending: bool = False
    inputs: Inputs | None = None
    changed: Sequence[ChangedFile] = ()

    def rows(self, table: Literal["requests", "links", "tiers"]) -> list[dict[str, Any]]:
        """The rows of a table, of all methods."""
        return [row for result in self.methods for row in getattr(result, table)]

    @property
    def broken_off(self) -> list[BrokenOff]:
        """The methods that did not come to their end."""
        return [result.broken_off for result in self.methods if result.broken_off is not None]


@dataclass(frozen=True)
class Concluded:
    """A run whose directory is sealed, and what its verdicts rest on; ``notes`` go with the evidence's."""

    directory: RunDirectory
    links: Sequence[Link]
    evidence: Evidence
    notes: Sequence[str]


def save_tables(directory: RunDirectory, inputs: Inputs, measured: Measured) -> None:
    """Write the tables of all methods."""
    directory.write_table("requests.parquet", measured.rows("requests"), REQUESTS)
    directory.write_table("links.parquet", measured.rows("links"), LINKS)
    directory.write_table("tiers.parquet", measured.rows("tiers"), TIERS)
    if inputs.scenario.events:
        events = [asdict(event) for result in measured.methods for event in result.observed.events]
        directory.write_table("events.parquet", events, EVENTS)


def conclude(
    directory: RunDirectory, inputs: Inputs, measured: Measured, early: str | None = None
) -> Concluded:
    """Write tables, verdicts and summary, and seal the directory; what a run lacks counts against it.

    ``early`` says what ended the run early, if something did: its first note.
    """
    save_tables(directory, inputs, measured)
    evidence = _evidence(directory, inputs, measured)
    fidelity = judge(evidence)
    requests, links = measured.rows("requests"), measured.rows("links")
    summary = summarise(
        inputs.scenario, requests, links, fidelity.faithful, measured.rows("tiers"), judged=inputs.judged
    )
    notes = [] if early is None else [early]
    notes += [text for result in measured.methods for text in result.findings]
    for name, figures in summary["methods"].items():
        notes += tie_warnings(name, figures["offload"])
    own_links = inputs.topology.links
    if measured.before is not None:
        notes += measured.before.notes("before", own_links)
    if measured.after is not None:
        notes += measured.after.notes("after", own_links)
    _write(directory, fidelity, notes, summary)
    directory.seal()
    return Concluded(directory, own_links, evidence, notes)


def judge_anew(run: Concluded, after: Measurement | None, why: str = "") -> None:
    """Judge a run by the links as they were measured after it, and seal its directory again.

    Args:
        after: that measurement; ``None`` if there will be none.
        why: a note that says why there is none.

    Raises:
        TestbedError: the run's directory is not there any more, or was changed since.
    """
    if broken := run.directory.broken_seals(JUDGED):  # what is sealed anew must be the run's own
        raise TestbedError(broken[0])
    findings = None if after is None else after.findings
    fidelity = judge(replace(run.evidence, links_pending=False, links_after=findings))
    notes = [why] if after is None else after.notes("after", run.links)
    summary = run.directory.read_json("summary.json") | {"faithful": fidelity.faithful}
    _write(run.directory, fidelity, [*run.notes, *notes], summary)
    run.directory.reseal(*JUDGED)


def _write(
    directory: RunDirectory, fidelity: Fidelity, notes: Sequence[str], summary: dict[str, Any]
) -> None:
    written = fidelity.to_json()
    written["notes"] = [*notes, *written["notes"]]
    directory.write_json("fidelity.json", written)
    directory.write_json("summary.json", summary)


def _evidence(directory: RunDirectory, inputs: Inputs, measured: Measured) -> Evidence:
    scenario, results = inputs.scenario, measured.methods
    calibration, answers = directory.read_calibration(), directory.read_answers()
    is_lockstep = scenario.replay.mode == "lockstep"
    replayed = {result.method for result in results}
    not_replayed = [method.name for method in scenario.methods if method.name not in replayed]
    lost = {broken.method: broken.lost for broken in measured.broken_off}
    unfinished = {**dict.fromkeys(not_replayed, ()), **lost}
    return Evidence(
        accounts=[account for result in results for account in result.accounts],
        audit=audit(scenario, measured.rows("requests"), calibration, answers, unfinished),
        outcomes=[result.outcomes for result in results],
        links_before=None if measured.before is None else measured.before.findings,
        links_after=None if measured.after is None else measured.after.findings,
        links_pending=measured.pending,
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
        stood_still=[stood for result in results for stood in result.stood_still],
        own_times=[own for result in results for own in result.own_times],
        quotas=quotas({**result.observed.seen, **result.observed.behind} for result in results),
        events=[event for result in results for event in result.observed.events],
        overflows=[overflow for result in results for overflow in result.overflows],
        breakers=[breaker for result in results for breaker in result.breakers],
        changed_files=measured.changed,
        broken_off=measured.broken_off,
        not_replayed=not_replayed,
    )


def _limits(inputs: Inputs, measured: Measured) -> list[TierLimit]:
    """Each node's CPU limit, and how it was throttled over all methods."""
    asked, limits = inputs.as_asked, []
    for node in inputs.topology.nodes:
        rows = [row for row in measured.rows("tiers") if row["node"] == node.name]
        limits.append(
            TierLimit(
                node.name,
                asked.tier(node.tier).node_cpus,
                inputs.scenario.tier(node.tier).node_cpus,
                periods=total(rows, "periods"),
                throttled_periods=total(rows, "throttled_periods"),
                throttled_s=total(rows, "throttled_s"),
                requests={
                    result.method: sum(node.name in row["path"] for row in result.requests)
                    for result in measured.methods
                },
                ran_s={row["method"]: row["cpu_seconds"] for row in rows},
                waited_s={row["method"]: row["waited_s"] for row in rows},
                served_s={result.method: served_s(node.name, result.requests) for result in measured.methods},
            )
        )
    return limits
