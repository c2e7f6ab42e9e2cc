"""A network that is held up for several runs, which differ in links' figures, methods, trace and seed alone.

Links are measured when it comes up, when :data:`MEASURED_EVERY_S` have passed and a run ends, and before it
goes down. Runs between two measurements rest on both: their verdicts on latency are pending until the second.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Self

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.host.processes.run_lock import new_run_id, run_lock
from testbed.host.processes.signals import undisturbed
from testbed.network.backend import Backend
from testbed.network.container import ContainerSpec
from testbed.orchestrator.bring_up import Standing, bring_up, network_alive
from testbed.orchestrator.calibrate import calibrate
from testbed.orchestrator.conclude import Concluded, judge_anew
from testbed.orchestrator.manifest import Manifest
from testbed.orchestrator.measurement import Measurement, measure_links
from testbed.orchestrator.nodes.backend_specs import backend_specs
from testbed.orchestrator.nodes.extract import extracted
from testbed.orchestrator.nodes.tier_specs import container_specs
from testbed.orchestrator.prepare import Inputs, Parts, make_parts
from testbed.orchestrator.session import Session
from testbed.orchestrator.sources import Sources
from testbed.scenario.requests import build_trace, prompts_for
from testbed.scenario.scenario import Scenario
from testbed.scenario.sharing import network_key
from testbed.scenario.workload.datasets import Example

MEASURED_EVERY_S = 1800.0


class HeldNetwork:
    """The network of scenarios that are run in their order; it is down before the first and after the last.

    It comes up when it is needed. A run that fails takes it down, so that the next has a new one. Whatever
    ends the block, nothing is left in the kernel and in Docker.

    Args:
        scenarios: those that may share it (:func:`testbed.scenario.sharing.network_key`).

    Raises:
        ValueError: they may not.

    Attributes:
        run_id: of the network that is up or about to be.
        last_answer_ns: when the last request of the run before was over, by the clock that stamps captures;
            ``None`` for the first run.
    """

    def __init__(self, scenarios: Sequence[Scenario], reporter: Reporter) -> None:
        if len(scenarios) > 1:
            keys = set(map(network_key, scenarios))
            if len(keys) > 1 or None in keys:
                raise ValueError("these scenarios need networks of their own")
        self.reporter = reporter
        self._scenarios = list(scenarios)
        self._is_last = False
        self._told: set[str] = set()
        self._waiting: list[Concluded] = []
        self._reset()

    def _reset(self) -> None:
        self._stack = ExitStack()
        self._sources = Sources(self._scenarios, self.reporter)
        self.run_id: str | None = None
        self.last_answer_ns: int | None = None
        self._made: tuple[Parts, list[ContainerSpec], list[Backend]] | None = None
        self._standing: Standing | None = None
        self._measured: list[Measurement] = []
        self._session: Session | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as stack:
            stack.callback(self._take_down)
            stack.callback(self._give_up_on_those_that_wait)
            if kind is None:
                self._judge_those_that_wait()

    @property
    def is_up(self) -> bool:
        """Whether a run before has brought it up."""
        return self._standing is not None

    def tell(self, notes: Sequence[str]) -> None:
        """Say notes on a run that were not said of one before."""
        for note in notes:
            if note not in self._told:
                self.reporter.say(note)
                self._told.add(note)

    def reserve(self, scenario: Scenario) -> None:
        """Claim the host for the run of one of the scenarios.

        Raises:
            AnotherRun: another run is going on.
        """
        self._is_last = scenario is self._scenarios[-1]
        if self.run_id is None:
            run_id = new_run_id()
            self._stack.enter_context(run_lock(run_id))
            self.run_id = run_id

    def parts(self, inputs: Inputs) -> Parts:
        """What the run is made from: got now, if it is not there, with the SHA-256 of the run's files.

        Raises:
            TestbedError: it cannot be made here.
        """
        if self._made is None:
            scenario = inputs.scenario
            parts = make_parts(scenario, self.reporter.say)
            with ExitStack() as stack:
                recorded = stack.enter_context(extracted(scenario, self._asked(inputs)))
                specs = container_specs(scenario, inputs.topology, parts.models, recorded)
                self._stack.enter_context(stack.pop_all())
            self._made = parts, specs, backend_specs(scenario, inputs.topology)
        parts = self._made[0]
        return replace(parts, sources=self._sources.of(inputs.scenario, parts.models))

    def _asked(self, inputs: Inputs) -> list[Example]:
        """The prompts of all runs: what recorded tiers serve is in their containers from the start."""
        by_trace = {scenario.trace.model_dump_json(): scenario for scenario in self._scenarios}
        by_trace.pop(inputs.scenario.trace.model_dump_json(), None)
        others = (
            prompts_for(build_trace(scenario), scenario.task.datasets) for scenario in by_trace.values()
        )
        return [*inputs.asked, *(example for prompts in others for example in prompts.values())]

    @contextmanager
    def lent(
        self, inputs: Inputs, manifest: Manifest, *, probed: bool = True, logged: bool = True
    ) -> Iterator[Session]:
        """Lend the network to a run in the block, with that run's figures; it comes up if it is not up.

        It goes down after the last run, and after one that fails. Those before it are judged, if the links
        can still be measured. When the block has ended, the run's directory has the ends of the containers'
        logs, if it is to be ``logged``.
        """
        try:
            standing = self._standing
            if standing is None:
                assert self._made is not None, "its parts are made first"
                parts, specs, backends = self._made
                standing, calibrated = bring_up(
                    self._stack,
                    inputs,
                    parts.image.tag,
                    specs,
                    backends,
                    manifest,
                    self.reporter,
                    logged=logged,
                )
                self._standing = standing
            else:
                calibrated = calibrate(standing.nodes, inputs, manifest.directory, self.reporter)
            with network_alive(standing.network):
                self._session = standing.session(
                    inputs, manifest, self.reporter, calibrated, probed=probed, logged=logged
                )
                yield self._session
        except TestbedError:
            self._judge_those_that_wait()
            self._take_down()
            raise
        except BaseException:
            self._take_down()
            raise
        if self._is_last:
            with manifest.phases.timed("taking_down"):
                self._take_down()
        else:
            standing.network.log_to(None)

    def before(self, session: Session) -> Measurement:
        """The last measurement of the links: made now, if the network has just come up."""
        return self._measured[-1] if self._measured else self._measure(session, "before the replay")

    def after(self, session: Session) -> Measurement | None:
        """Measure the links if it is time, and judge what waits for that; ``None`` if it is not time."""
        if not self._is_last and time.monotonic() - self._measured[-1].at_s < MEASURED_EVERY_S:
            return None
        return self._measure(session, "after the replay")

    def await_judgement(self, run: Concluded) -> None:
        """Judge a run anew when the links are measured next."""
        self._waiting.append(run)

    def _measure(self, session: Session, when: str) -> Measurement:
        if session.network.links:
            self.reporter.say(f"measuring the links {when}")
        number, seed = len(self._measured) + 1, session.inputs.scenario.seed
        with session.phases.timed("measuring"):
            found = measure_links(session.network, seed, number, session.directory.path.name)
        self._measured.append(found)
        self._judge(found)
        return found

    def _judge_those_that_wait(self) -> None:
        """Measure the links for the runs that wait for it; where that fails, say so in their directories."""
        if not self._waiting or self._session is None:
            return
        try:
            with network_alive(self._session.network):
                self._measure(self._session, "for the runs before")
        except (TestbedError, OSError) as error:
            self._judge(None, f"the links could not be measured again after the replay: {error}")

    def _give_up_on_those_that_wait(self) -> None:
        """Say of runs whose links nobody will measure again that it is so, here and in their directories."""
        if not self._waiting:
            return
        paths = [run.directory.path for run in self._waiting]
        names = ",".join(path.name for path in paths)
        runs = f"{paths[0].parent}/{{{names}}}" if len(paths) > 1 else f"{paths[0]}"
        self.reporter.warn(
            f"nothing vouches for the latencies in {runs}, as the links were not measured again; a point "
            "whose directory is removed is run again"
        )
        self._judge(None, "the links were not measured after the replay, for the sweep was ended before")

    def _judge(self, after: Measurement | None, why: str = "") -> None:
        with undisturbed():  # a directory that is half judged would count as damaged
            waiting, self._waiting = self._waiting, []
            for run in waiting:
                try:
                    judge_anew(run, after, why)
                except (TestbedError, OSError) as error:  # its directory has gone; others are still judged
                    self.reporter.warn(f"{run.directory.path} cannot be judged anew: {error}")

    def _take_down(self) -> None:
        try:
            self._stack.close()
        finally:
            self._reset()
