"""What each kind of event does to a network that is up: how it begins, how it ends, what it reports."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from testbed.errors import TestbedError
from testbed.host.processes.proc import HeldProcess, Process, children
from testbed.host.processes.waiting import wait_until
from testbed.network.link import WanLink
from testbed.network.live_link import LiveLink
from testbed.orchestrator.nodes.control import NodeControl
from testbed.scenario.reading.rate_file import read_rate_trace
from testbed.scenario.sections.events import LinkChange, RateFile

READY_TIMEOUT_S = 300.0
_READY_POLL_S = 0.1
_GONE_TIMEOUT_S = 5.0


class Effect:
    """What one event does. Its methods are called at most once each, in the order in which they stand here.

    Attributes:
        lasts: whether it goes on until :meth:`end`, which is called at the end of the replay at the latest.
    """

    lasts: ClassVar[bool] = True

    def begin(self) -> None:
        """Change the network or a node."""

    def end(self) -> None:
        """Put back what was changed."""

    def report(self) -> dict[str, Any]:
        """Columns of the event's row in ``events.parquet``."""
        return {}

    def close(self) -> None:
        """Release what the effect holds, in any case and also if it never began."""


class LinkBack(Effect):
    """A link carries frames again: the event that took it down ends, and nothing else happens."""

    lasts = False


class ChangedFigures(Effect):
    """Links have other figures than the scenario gives them."""

    def __init__(self, event: LinkChange, links: Sequence[LiveLink]) -> None:
        self._directions, self._figures, self._links = event.directions, event.figures.given, links

    def begin(self) -> None:
        for link in self._links:
            link.change(self._directions, self._figures)

    def end(self) -> None:
        for link in self._links:
            link.put_back(self._directions, self._figures)


class DeadLink(Effect):
    """Links lose all frames."""

    def __init__(self, links: Sequence[WanLink]) -> None:
        self._links = links
        self._lost = 0

    def begin(self) -> None:
        self._lost = -self._count()
        for link in self._links:
            link.cut()

    def end(self) -> None:
        for link in self._links:
            link.mend()
        self._lost += self._count()

    def report(self) -> dict[str, Any]:
        return {"lost_frames": self._lost}

    def _count(self) -> int:
        return sum(counts.cut_frames for link in self._links for counts in link.counts().values())


class FollowedFile(Effect):
    """A link's frames leave at a file's opportunities; each link and direction begins the file for itself."""

    def __init__(self, event: RateFile, links: Sequence[LiveLink]) -> None:
        self._directions, self._links = event.directions, links
        self._opportunities_ms = read_rate_trace(Path(event.rate_file)).opportunities_ms

    def begin(self) -> None:
        for link in self._links:
            link.follow(self._directions, self._opportunities_ms)

    def end(self) -> None:
        for link in self._links:
            link.unfollow(self._directions)


class StillContainer(Effect):
    """All processes of a container stand still (SIGSTOP); its kernel's TCP does not."""

    def __init__(self, node: NodeControl) -> None:
        self._node = node

    def begin(self) -> None:
        self._signal(signal.SIGSTOP)

    def end(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        first = _first_process(self._node)
        first.signal(number)
        for child in filter(None, map(Process.of, children(first.pid))):
            if child.pid in children(first.pid):  # and so is not another that has its id by now
                child.signal(number)


class KilledTier(Effect):
    """A tier's process is killed, and starts again with an empty window and the method's policy.

    The first process of its container is :mod:`tiers.supervisor`, so network namespace and address stay.
    What the node has recorded is read right before, and added to ``records``.
    """

    def __init__(
        self,
        node: NodeControl,
        policy: Mapping[str, Any],
        records: defaultdict[str, list[list[dict[str, Any]]]],
    ) -> None:
        self._node, self._policy, self._records = node, policy, records
        self._ready_after_s: float | None = None
        self._waiting: threading.Thread | None = None

    def begin(self) -> None:
        self._records[self._node.name].append(self._node.records())
        first = _first_process(self._node)
        tiers = children(first.pid)
        first.signal(signal.SIGUSR1)
        wait_until(
            lambda: not set(tiers) & set(children(first.pid)),
            _GONE_TIMEOUT_S,
            0.001,
            or_raise=f"the tier of {self._node.name} did not end when it was killed",
        )

    def end(self) -> None:
        first = _first_process(self._node)
        (first.path / "root/tmp/policy.json").write_text(json.dumps(dict(self._policy)))
        first.signal(signal.SIGUSR2)
        self._waiting = threading.Thread(target=self._wait, name="return", daemon=True)
        self._waiting.start()

    def report(self) -> dict[str, Any]:
        if self._waiting is not None:
            self._waiting.join()
        if self._ready_after_s is None:
            raise TestbedError(f"{self._node.name} did not come back in {READY_TIMEOUT_S:.0f} s")
        return {"ready_after_s": self._ready_after_s}

    def _wait(self) -> None:
        start_s = time.monotonic()
        if wait_until(self._is_ready, READY_TIMEOUT_S, _READY_POLL_S):
            self._ready_after_s = time.monotonic() - start_s

    def _is_ready(self) -> bool:
        with contextlib.suppress(TestbedError):
            return self._node.ready()
        return False


def _first_process(node: NodeControl) -> HeldProcess:
    process = node.host.process
    if process is None or not process.lives:
        raise TestbedError(f"the container of {node.name} has ended")
    return process
