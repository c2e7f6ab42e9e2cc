"""Starts a tier's node without a container: the same server, as a process in a bare network namespace.

For what needs the real server and neither Docker nor limits: nothing bounds its CPU or memory.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from testbed.errors import TestbedError
from testbed.host.facts import REPOSITORY
from testbed.network.kernel.netns import Popen_in
from testbed.orchestrator.nodes.control import NodeControl
from tiers.config import NODE_VARIABLE
from tiers.protocol import encode_json

START_TIMEOUT_S = 120.0
_POLL_S = 0.05
_END_TIMEOUT_S = 10.0


class TierProcess:
    """What a ``NodeControl`` needs of a node: name, namespace, whether it lives."""

    def __init__(self, name: str, netns_path: str, environment: Mapping[str, str]) -> None:
        self.name, self.netns_path = name, netns_path
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed by end())
        self.process = Popen_in(
            netns_path,
            [sys.executable, "-m", "tiers.server"],
            env={**os.environ, **environment},
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            start_new_session=True,  # Ctrl-C is for whoever started it to handle
        )

    def require_running(self) -> None:
        """Raise a TestbedError with its last words if it has ended."""
        if self.process.poll() is not None:
            self._said.seek(0)
            lines = self._said.read().decode(errors="replace").strip().splitlines()
            words = lines[-1] if lines else "it said nothing"
            raise TestbedError(f"the tier {self.name} has ended: {words}")

    def end(self) -> None:
        self.process.kill()
        self.process.wait(_END_TIMEOUT_S)
        self._said.close()


@contextmanager
def tier_processes(
    namespaces: Mapping[str, str], environments: Mapping[str, Mapping[str, str]]
) -> Iterator[list[NodeControl]]:
    """One node for each namespace path (by node name), all started at the same time and ready when entered.

    Raises:
        TestbedError: one ended, or was not ready in time.
    """
    with ExitStack() as stack:
        nodes: list[NodeControl] = []
        for name, path in namespaces.items():
            process: Any = TierProcess(name, path, environments[name])
            stack.callback(process.end)
            nodes.append(NodeControl(process))
        wait_until_ready(nodes)
        yield nodes


def wait_until_ready(nodes: Sequence[NodeControl]) -> None:
    """Return when all answer.

    Raises:
        TestbedError: one ended, or was not ready in time.
    """
    end_s = time.monotonic() + START_TIMEOUT_S
    waiting = list(nodes)
    while waiting := [node for node in waiting if not node.ready()]:
        if time.monotonic() > end_s:
            raise TestbedError(f"the tier {waiting[0].name} did not start in {START_TIMEOUT_S:.0f} s")
        time.sleep(_POLL_S)


def environment(config: Mapping[str, Any]) -> dict[str, str]:
    """The variables that tell a node its configuration (:mod:`tiers.config`)."""
    return {NODE_VARIABLE: encode_json(dict(config)).decode()}
