"""Keeps a scenario's network and tiers up while something uses them, and records that if asked.

A record is a run directory like any other. Its requests are whoever's asked them: there is no reference for
an answer, and links are not measured, so that its verdicts on quality and latency are false and say why.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.orchestrator.breaking_off import BreakingOff
from testbed.orchestrator.conclude import Measured
from testbed.orchestrator.disk import last_words_bytes
from testbed.orchestrator.held import HeldNetwork
from testbed.orchestrator.manifest import Manifest
from testbed.orchestrator.method import account
from testbed.orchestrator.observe import Traffic, begin, observe, try_policies
from testbed.orchestrator.prepare import Inputs, inputs_of
from testbed.orchestrator.replay.replay import Outcome
from testbed.orchestrator.reserve import Reserve
from testbed.orchestrator.run import concluded
from testbed.orchestrator.session import Session
from testbed.results.captures import put_away
from testbed.results.directory import RunDirectory
from testbed.scenario.reading.mistakes import nearest
from testbed.scenario.scenario import Scenario, with_methods
from testbed.scenario.sections.methods import Method
from testbed.scenario.workload.datasets import Example
from testbed.scenario.workload.trace_file import Request, write_trace
from tiers.policies.base import ANSWERS
from tiers.records import KEPT

ASKED = "asked"
"""Stands for the data set in the trace of a record, whose prompts are of none; the split is its run's id, so
that no two records are taken for the same prompts.
"""


MAX_ASKED = 10_000
"""Requests for whose rows room is kept on the disk."""


@dataclass(frozen=True)
class Asked:
    """What a network was asked while it was kept up, on a clock with time 0 at ``start_s`` (monotonic).

    ``ended_by``: what broke it off, to be raised when all is down.
    """

    start_s: float
    outcomes: Sequence[Outcome] = ()
    prompts: Mapping[str, str] = field(default_factory=dict)
    ended_by: BaseException | None = None


class Use:
    """Something that a network is kept up for."""

    command: str
    """The command that it is, for people."""

    def run(self, session: Session) -> Asked:
        """Use the network until that ends, by itself or by a signal.

        Raises:
            TestbedError: the network or a node has ended.
        """
        raise NotImplementedError


def prepared(scenario: Scenario, method: str | None, *, record: bool) -> tuple[Scenario, list[str]]:
    """The scenario with the one method that is in force, without its events; and what is to be said of that.

    Raises:
        TestbedError: there is no such method, or it needs a replay.
    """
    chosen, notes = _method(scenario, method), []
    changes: dict[str, object] = {}
    if scenario.events:
        changes["events"] = ()
        notes.append("the scenario's events do not happen: they belong to a replay")
    if record and scenario.captures == "discard":
        changes["captures"] = "keep"
    return with_methods(scenario, [chosen.name]).model_copy(update=changes), notes


def _method(scenario: Scenario, asked: str | None) -> Method:
    by_name = {method.name: method for method in scenario.methods}
    if asked is not None:
        if asked not in by_name:
            raise TestbedError(f"--method: the scenario has no method {asked!r}; {nearest(asked, by_name)}")
        if why := _needs_replay(by_name[asked]):
            raise TestbedError(f"--method: {asked} {why}; name another")
        return by_name[asked]
    fit = [method for method in scenario.methods if _needs_replay(method) is None]
    if not fit:
        raise TestbedError(
            "methods: each needs a replay of the trace; add one that does not, such as recserve"
        )
    return next((method for method in fit if method.policy == "recserve"), fit[0])


def _needs_replay(method: Method) -> str | None:
    if ANSWERS in method.knows:
        return "knows every answer beforehand, and nobody knows those to prompts that are yet to come"
    if method.shared:
        return "shares windows among nodes between two requests of a replay in lockstep"
    return None


def keep_up(
    scenario: Scenario, use: Use, reporter: Reporter, *, record: bool, out: Path | None = None
) -> RunDirectory | None:
    """Bring up the network of a :func:`prepared` scenario, let ``use`` use it, and take it down.

    Returns its run directory, if there is to be a record; otherwise nothing is written but what its
    containers are made from.

    Raises:
        TestbedError: as :func:`testbed.orchestrator.run.run`.
    """
    directory: RunDirectory | None = None
    with HeldNetwork([scenario], reporter) as network:
        inputs = replace(inputs_of(scenario), judged=False)
        network.tell(inputs.notes)
        network.reserve(scenario)
        if record:
            RunDirectory.check(out)
            directory, asked = _use_and_record(network, inputs, use, out)
        else:
            asked = _use(network, inputs, use)
    if asked.ended_by is not None:
        if directory is not None:
            reporter.warn(f"what was measured so far is in {directory.path}")
        raise asked.ended_by
    return directory


def _use(network: HeldNetwork, inputs: Inputs, use: Use) -> Asked:
    parts, (method,) = network.parts(inputs), inputs.scenario.methods
    with tempfile.TemporaryDirectory(prefix="llm-testbed-") as scratch:
        directory = RunDirectory.create(Path(scratch) / "run", inputs.scenario.name)
        manifest = Manifest(directory, str(network.run_id), inputs, parts)
        with network.lent(inputs, manifest, probed=False, logged=False) as session:
            begin(session, method, KEPT)
            session.network.link_process.begin(inputs.scenario.seed, method.name)
            return use.run(session)


def _use_and_record(
    network: HeldNetwork, inputs: Inputs, use: Use, out: Path | None
) -> tuple[RunDirectory, Asked]:
    parts, (method,) = network.parts(inputs), inputs.scenario.methods
    inputs = replace(inputs, notes=[*inputs.notes, _told(use)])
    directory = RunDirectory.create(out, inputs.scenario.name)
    manifest = Manifest(directory, str(network.run_id), inputs, parts, made_by=use.command)
    measured = Measured(inputs=_as_asked(inputs, Asked(0.0), manifest.run_id))
    with (
        concluded(
            network, manifest, inputs, measured, Reserve(directory.path, last_words_bytes(MAX_ASKED, 1))
        ),
        network.lent(inputs, manifest, probed=False) as session,
    ):
        write_trace([], directory.path / "trace.jsonl")
        try_policies(session)
        asked = Asked(0.0)

        def asking() -> Traffic:
            nonlocal asked
            asked = use.run(session)
            if isinstance(asked.ended_by, TestbedError):
                broken.by(asked.ended_by)
            network.reporter.say("accounting for what crossed the links")
            return Traffic(asked.outcomes, asked.start_s)

        with BreakingOff() as broken:
            observed = observe(session, method, lambda _done, _of: None, asking=asking, broken=broken)
            measured.inputs = inputs = _as_asked(inputs, asked, manifest.run_id)
            write_trace(inputs.trace, directory.path / "trace.jsonl")
            measured.methods.append(account(inputs, directory, observed, network.reporter))
            manifest.measured(observed)
            put_away(directory, method.name, inputs.scenario.captures, network.reporter.say)
    return directory, asked


def _told(use: Use) -> str:
    return (
        f"`testbed {use.command}` left this directory: its requests are whoever's asked them, nobody says "
        "what a right answer is, and links were not measured"
    )


def _as_asked(inputs: Inputs, asked: Asked, run_id: str) -> Inputs:
    """The inputs as if the requests had been a trace's."""
    trace = [
        Request(outcome.request_id, max(0.0, outcome.scheduled_at_s), outcome.device, ASKED, run_id, row)
        for row, outcome in enumerate(asked.outcomes)
    ]
    examples = {
        request.id: Example(request.row, asked.prompts.get(request.id, ""), reference="") for request in trace
    }
    return replace(inputs, trace=trace, examples=examples)
