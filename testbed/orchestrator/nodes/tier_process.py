"""Starts a tier's node without a container: the same server, as a process in a bare network namespace.

For what needs the real server and neither Docker nor limits: nothing bounds its CPU or memory.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from testbed.errors import TestbedError
from testbed.host.facts import REPOSITORY
from testbed.host.processes.proc import HeldProcess
from testbed.host.processes.reporting import last_line
from testbed.host.processes.waiting import wait_until
from testbed.host.standstill import How, any_is_stopped
from testbed.network.kernel.netns import Popen_in
from testbed.orchestrator.nodes.control import NodeControl
from tiers.config import NODE_VARIABLE
from tiers.protocol import encode_json

START_TIMEOUT_S = 120.0
_POLL_S = 0.05
_END_TIMEOUT_S = 10.0


class TierProcess:
    """A tier's server as a process, with what a ``NodeControl`` and events need of a node.

    ``module`` may be :mod:`tiers.supervisor`, for a tier that is to be killed and to return.
    """

    def __init__(
        self, name: str, netns_path: str, environment: Mapping[str, str], module: str = "tiers.server"
    ) -> None:
        self.name, self.netns_path = name, netns_path
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by end())
        self._started = Popen_in(
            netns_path,
            [sys.executable, "-m", module],
            env={**os.environ, **environment},
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            start_new_session=True,  # Ctrl-C is for whoever started it to handle
        )
        self.process = HeldProcess(self._started.pid)

    def require_running(self) -> None:
        """Raise a TestbedError with the last line of its errors if it has ended."""
        if self._started.poll() is not None:
            self._errors.seek(0)
            raise TestbedError(f"the tier {self.name} has ended: {last_line(self._errors.read())}")

    def stands_still(self) -> How | None:
        """Whether it has been stopped."""
        return "stopped" if any_is_stopped([str(self._started.pid)]) else None

    def end(self) -> None:
        if self._started.poll() is None:  # else its id may be another's
            os.killpg(self._started.pid, signal.SIGKILL)
        self._started.wait(_END_TIMEOUT_S)
        self.process.close()
        self._errors.close()


@contextmanager
def tier_processes(
    namespaces: Mapping[str, str],
    environments: Mapping[str, Mapping[str, str]],
    supervised: Collection[str] = (),
) -> Iterator[list[NodeControl]]:
    """One node for each namespace path (by node name), all started at the same time and ready when entered.

    ``supervised`` may be killed and return.

    Raises:
        TestbedError: one ended, or was not ready in time.
    """
    with ExitStack() as stack:
        nodes: list[NodeControl] = []
        for name, path in namespaces.items():
            module = "tiers.supervisor" if name in supervised else "tiers.server"
            process: Any = TierProcess(name, path, environments[name], module)
            stack.callback(process.end)
            nodes.append(NodeControl(process))
        for node in nodes:
            sentence = f"the tier {node.name} did not start in {START_TIMEOUT_S:.0f} s"
            wait_until(node.ready, START_TIMEOUT_S, _POLL_S, or_raise=sentence)
        yield nodes


def environment(config: Mapping[str, Any]) -> dict[str, str]:
    """The variables that tell a node its configuration (:mod:`tiers.config`)."""
    return {NODE_VARIABLE: encode_json(dict(config)).decode()}
