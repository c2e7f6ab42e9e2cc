"""Leads a run from scenario to sealed directory: network up, links measured, each method replayed, judged.

Whatever ends it, all that it made in the kernel and in Docker is removed, and what it measured is on disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from testbed.console import Reporter
from testbed.host.processes.program import explained
from testbed.host.processes.signals import Terminated, undisturbed
from testbed.orchestrator.breaking_off import BreakingOff
from testbed.orchestrator.conclude import Measured, conclude, save_tables
from testbed.orchestrator.disk import last_words_bytes, require_disk
from testbed.orchestrator.estimate import Estimate, estimated_seconds
from testbed.orchestrator.held import HeldNetwork
from testbed.orchestrator.manifest import Manifest
from testbed.orchestrator.method import run_method
from testbed.orchestrator.observe import try_policies
from testbed.orchestrator.prepare import Inputs, inputs_of
from testbed.orchestrator.reserve import Reserve
from testbed.orchestrator.session import Session
from testbed.results.captures import put_away
from testbed.results.directory import RunDirectory
from testbed.results.ended import FINISHED
from testbed.scenario.scenario import Scenario
from testbed.scenario.workload.trace_file import write_trace


def run(scenario: Scenario, out: Path | None = None, reporter: Reporter | None = None) -> RunDirectory:
    """Run ``scenario`` on this host, and return its run directory.

    Args:
        out: the directory to make; ``results/<scenario>-<UTC time>`` by default.
        reporter: shows progress; by default on standard error.

    Raises:
        TestbedError: the host cannot, another run is going on, or something failed on the way; the directory,
            if it was made, says in ``manifest.json`` how far the run came.
    """
    with HeldNetwork([scenario], reporter or Reporter()) as network:
        return run_on(network, scenario, out)


def run_on(network: HeldNetwork, scenario: Scenario, out: Path | None = None) -> RunDirectory:
    """Run one of the scenarios that a network is held for; otherwise as :func:`run`.

    Unless it is the last, its verdict on latency is pending until the network's links are measured again.
    """
    reporter, inputs = network.reporter, inputs_of(scenario, is_up=network.is_up)
    network.tell(inputs.notes)
    network.reserve(scenario)
    RunDirectory.check(out)
    estimate = estimated_seconds(inputs.scenario, inputs.trace, inputs.topology, kept=network.is_up)
    reporter.say(str(estimate))
    reporter.say(str(require_disk(out or Path("results"), [scenario])))
    parts = network.parts(inputs)
    directory = RunDirectory.create(out, scenario.name)
    manifest = Manifest(directory, str(network.run_id), inputs, parts)
    measured = Measured()
    room = Reserve(directory.path, last_words_bytes(len(inputs.trace), len(inputs.scenario.methods)))
    with concluded(network, manifest, inputs, measured, room):
        write_trace(inputs.trace, directory.path / "trace.jsonl")
        with network.lent(inputs, manifest) as session:
            try_policies(session)
            measured.before = network.before(session)
            _replay_methods(session, manifest, measured, estimate)
            _tell_gap(network, measured)
            measured.after = network.after(session)
            measured.pending = measured.after is None
    reporter.say(str(manifest.phases))
    return directory


@contextmanager
def concluded(
    network: HeldNetwork, manifest: Manifest, inputs: Inputs, measured: Measured, room: Reserve
) -> Iterator[None]:
    """Begin the manifest, write to it how the block ended, and conclude with what was measured until then.

    ``room`` is kept on the disk for that.
    """
    status, ended_by = "failed", None
    try:
        with room:
            manifest.begin()
            yield
        status = FINISHED
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    except Terminated:
        status = "terminated"
        raise
    except Exception as error:
        ended_by = explained(error) or f"a defect of the testbed: {error!r}"
        raise
    finally:
        with undisturbed(), closing(room):  # however impatient the user is
            room.write(lambda: manifest.end(status, ended_by, measured.broken_off))
            measured.changed = [found for source in manifest.sources if (found := source.changed())]
            measured.pending = measured.pending and status == FINISHED
            judged, early = measured.inputs or inputs, manifest.ended_early
            with manifest.phases.timed("judging"):
                sealed = room.write(lambda: conclude(manifest.directory, judged, measured, early))
            if measured.pending:
                network.await_judgement(sealed)
        if room.was_needed:
            network.reporter.warn(
                f"the disk of {manifest.directory.path} is full; make room before the next run"
            )
        if status != FINISHED:
            network.reporter.warn(f"what was measured so far is in {manifest.directory.path}")


def _replay_methods(session: Session, manifest: Manifest, measured: Measured, estimate: Estimate) -> None:
    """Replay each method, and write its tables at once."""
    inputs, requests = session.inputs, len(session.inputs.trace)
    methods = inputs.scenario.methods
    for number, method in enumerate(methods, 1):
        what = f"{method.name}: replaying {requests} requests (method {number} of {len(methods)})"
        with session.reporter.counting(what, requests) as progress, BreakingOff() as broken:
            result = run_method(session, method, progress, estimate.ahead(number - 1), broken)
            measured.methods.append(result)
            manifest.measured(result.observed)
        with session.phases.timed("accounting"):
            save_tables(session.directory, inputs, measured)
            put_away(session.directory, method.name, inputs.scenario.captures, session.reporter.say)
        for engine in session.network.engines:  # what ended as `inference` is in the tables by now
            engine.require_running()


def _tell_gap(network: HeldNetwork, measured: Measured) -> None:
    """Say how long a network that stayed up was not replaying, between the run before and this one."""
    first, last = (measured.methods[number].observed for number in (0, -1))
    if network.last_answer_ns is not None:
        gap_s = (first.started_ns - network.last_answer_ns) / 1e9
        network.reporter.say(f"the network stayed up: {gap_s:.1f} s from the run before to this one")
    done_s = max((outcome.done_at_s for outcome in last.outcomes), default=0.0)
    network.last_answer_ns = last.started_ns + round(done_s * 1e9)
