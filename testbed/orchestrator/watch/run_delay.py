"""Looks now and then, beside a replay, at how long containers' threads waited for a CPU."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from functools import partial

from testbed.errors import TestbedError
from testbed.host.cgroup import ContainerGroup, NodeGroup
from testbed.orchestrator.watch.turns import in_turns

INTERVAL_S = 1.0


def run_delay_watch(
    groups: Iterable[ContainerGroup | NodeGroup], interval_s: float = INTERVAL_S
) -> AbstractContextManager[None]:
    """Look at each container now and then while the block runs, so that little of ended threads is lost and
    times of throttling are kept apart from others.
    """
    return in_turns([partial(_look, group) for group in groups], interval_s, "run-delay-watch")


def _look(group: ContainerGroup | NodeGroup) -> None:
    with suppress(TestbedError):  # the container has ended, which is reported elsewhere
        group.look()
