"""Gives a sweep's points to the machines of a cluster, one at a time to each, until all are done.

Which point goes where, and again after a machine was lost, is decided here and not by Ray: so it can be told,
and a machine that differs from this one gets nothing.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.host.processes.program import explained
from testbed.host.processes.signals import undisturbed
from testbed.scenario.reading.units import duration
from testbed.scenario.scenario import Scenario
from testbed.scenario.workload.datasets import Dataset
from testbed.study.sweep.alike import Alike, alike_here, files_of
from testbed.study.sweep.cluster import Cluster, Machine, cannot_run, told
from testbed.study.sweep.directory import SweepDirectory
from testbed.study.sweep.machine import LONGEST_END_S, Item, Outcome, run_point
from testbed.study.sweep.packed import Received, unpack
from testbed.study.sweep.points import Point
from testbed.study.sweep.table import write_table

ATTEMPTS = 3
"""How often a point is given out whose worker or machine is lost."""
_POLL_S = 1.0
_REST_S = 10.0
"""How long a machine gets nothing after a loss: Ray takes a while to see that it is gone."""


@dataclass
class Job:
    """A point that waits for a machine, or is on one."""

    point: Point
    scenario: Scenario
    expected_s: float
    attempts: int = 0


def run_on_cluster(
    cluster: Cluster,
    directory: SweepDirectory,
    waiting: Sequence[tuple[Point, Scenario]],
    expected_s: Mapping[int, float],
    reporter: Reporter,
) -> None:
    """Run the points on the cluster's machines, and write the table after each of them.

    A point that fails is noted in the directory, and the others go on. When this is interrupted, every
    machine ends what it does and removes its network before this returns.

    Args:
        expected_s: how long each point takes, by its number.

    Raises:
        TestbedError: a machine differs from this one, or none is left.
    """
    if not waiting:
        return
    files = sorted({path for _, scenario in waiting for path in files_of(scenario)})
    datasets = list({scenario.task.data.name: scenario.task.data for _, scenario in waiting}.values())
    reporter.say("comparing the machines with this one")
    wanted = alike_here(files, datasets)
    cluster.require_alike(wanted, datasets)
    jobs = deque(Job(point, scenario, expected_s[point.number]) for point, scenario in waiting)
    _Giving(cluster, directory, wanted, datasets, reporter, jobs).run()


def dumped(scenario: Scenario) -> dict[str, Any]:
    """The scenario as manifests have it, which loads without the files that it names."""
    return scenario.model_dump(mode="json")


@dataclass
class _Task:
    """A point on a machine: what Ray has for its items, and what came of them."""

    job: Job
    machine: Machine
    received: Received
    began_s: float = field(default_factory=time.monotonic)


@dataclass
class _Giving:
    """The points on their way through the machines."""

    cluster: Cluster
    directory: SweepDirectory
    wanted: Alike
    datasets: list[Dataset]
    reporter: Reporter
    queue: deque[Job]
    tasks: dict[Any, _Task] = field(default_factory=dict)
    unfit: dict[str, str] = field(default_factory=dict)
    """Why a machine gets nothing any more, by its node."""
    rests_until_s: dict[str, float] = field(default_factory=dict)
    took_s: float = 0.0
    of_expected_s: float = 0.0
    """How long the points so far took, and were to take."""

    def run(self) -> None:
        """Until every point is done or has failed."""
        try:
            while self.queue or self.tasks:
                with undisturbed():  # Ray's own code takes no exception from the handler of a signal
                    if self.queue:
                        self._give()
                    self._take()
        except BaseException:
            self._cancel()
            raise

    def _give(self) -> None:
        machines = [machine for machine in self.cluster.machines() if machine.node_id not in self.unfit]
        if not machines and not self.tasks:
            why = next((f": {why}" for why in self.unfit.values()), "")
            raise TestbedError(
                f"--on: no machine is left for {len(self.queue)} points{why}; the same command goes on"
            )
        busy = {task.machine.node_id for task in self.tasks.values()}
        for machine in machines:
            rested = time.monotonic() >= self.rests_until_s.get(machine.node_id, 0)
            if self.queue and rested and machine.node_id not in busy:
                self._start(self.queue.popleft(), machine, len(machines))

    def _start(self, job: Job, machine: Machine, machines: int) -> None:
        point = job.point
        job.attempts += 1
        again = f" (attempt {job.attempts} of {ATTEMPTS})" if job.attempts > 1 else ""
        left = f"; {self._left(job, machines)}" if self.of_expected_s else ""
        self.reporter.say(f"point {point.number} on {machine.name}{again}: {point.words}{left}")
        path = self.directory.begin(point)
        items = self.cluster.call(run_point, machine, dumped(job.scenario), self.wanted, self.datasets)
        self.tasks[items] = _Task(job, machine, Received(path.with_name(f".{path.name}.tar")))

    def _left(self, job: Job, machines: int) -> str:
        jobs = [job, *self.queue, *(task.job for task in self.tasks.values())]
        expected_s = sum(each.expected_s for each in jobs)
        left_s = expected_s * self.took_s / self.of_expected_s / machines
        return f"{len(jobs)} points left, about {duration(left_s)}"

    def _take(self) -> None:
        """Wait a moment for what machines give, and take one thing of each that has."""
        if not self.tasks:
            time.sleep(_POLL_S)
            return
        ready, _ = self.cluster.ray.wait(list(self.tasks), num_returns=1, timeout=_POLL_S)
        for items in ready:
            item = self._next(items)
            if isinstance(item, Outcome):
                self._end(items, item)
                continue
            try:
                self.tasks[items].received.take(item)
            except (TestbedError, OSError) as error:  # no room here, or not what was said to come
                self.cluster.ray.cancel(items)
                self._end(items, Outcome(explained(error)))

    def _next(self, items: Any) -> Item:
        errors = self.cluster.ray.exceptions
        try:
            item: Item = self.cluster.ray.get(next(items))
        except StopIteration:
            return Outcome("its worker ended without a word", lost=True)
        except errors.TaskCancelledError:
            return Outcome("its worker was told by somebody to give up", lost=True)
        except errors.RayTaskError as error:  # run_point tells what it knows; this is most likely its import
            return Outcome(cannot_run(error), unfit=True)
        except errors.RayError as error:
            return Outcome(f"its worker was lost ({type(error).__name__}: {told(error)})", lost=True)
        return item

    def _end(self, items: Any, outcome: Outcome) -> None:
        task = self.tasks.pop(items)
        job, machine, point = task.job, task.machine, task.job.point
        if outcome.unfit or (outcome.lost and job.attempts < ATTEMPTS):
            task.received.discard()
            self.rests_until_s[machine.node_id] = time.monotonic() + _REST_S
            self.reporter.say(f"point {point.number} goes back: {machine.name}: {outcome.failure}")
            if outcome.unfit:
                job.attempts -= 1
                self.unfit[machine.node_id] = f"{machine.name} {outcome.failure}"
            self.queue.appendleft(job)
            return
        failure = outcome.failure
        if outcome.lost:
            failure = f"{failure}, the last of {ATTEMPTS} times on {machine.name}"
        self.took_s += time.monotonic() - task.began_s
        self.of_expected_s += job.expected_s
        failure = self._keep(task, failure)
        if failure is not None:
            self.directory.fail(point, failure)
        how = "is done" if failure is None else f"failed: {failure}"
        self.reporter.say(f"point {point.number} {how}; {len(self.tasks)} under way, {len(self.queue)} wait")
        write_table(self.directory)

    def _keep(self, task: _Task, failure: str | None) -> str | None:
        """Put what came back in its place; return why the point failed, if it did."""
        try:
            if archive := task.received.whole():
                unpack(archive, self.directory.run_path(task.job.point), sealed=failure is None)
            elif failure is None:
                return "nothing came back; run the point again"
        except (TestbedError, OSError) as error:
            return failure or explained(error)
        finally:
            task.received.discard()
        return failure

    def _cancel(self) -> None:
        """End what is under way, and wait until the machines have removed their networks."""
        if not self.tasks:
            return
        with undisturbed():
            self.reporter.say(f"ending {len(self.tasks)} points on their machines")
            ended = []
            for items, task in self.tasks.items():
                task.received.discard()
                with contextlib.suppress(Exception):  # the cluster may be what went away
                    self.cluster.ray.cancel(items)
                    ended.append(items.completed())
            if ended:
                self.cluster.ray.wait(ended, num_returns=len(ended), timeout=LONGEST_END_S + _REST_S)
