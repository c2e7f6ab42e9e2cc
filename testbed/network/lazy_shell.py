"""A shell in a node's network namespace, started when it is first asked.

Mininet starts one with every node. Ours (``node.cmd("ip a")``) is a shell of the emulating host that has
entered the node's network namespace, and no other namespace of it.
"""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any

from testbed.network.kernel.netns import Popen_in
from testbed.network.mininet_compat import Node

_SHELL_EXIT_TIMEOUT_S = 5.0


class LazyShell(Node):
    """A Mininet node in the namespace at ``netns_path``, whose shell starts when first used."""

    netns_path: str
    pid: int | None
    isSetup = True  # Mininet would look for ifconfig, which nothing here uses
    _born = False

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self._born = True

    def startShell(self, mnopts: str | None = None) -> None:
        """Mininet's shell, but not yet while the node is being made."""
        if self._born and self.shell is None:
            pid: int | None = self.pid
            super().startShell(mnopts)
            self.pid = pid

    def _popen(self, cmd: list[str], **params: Any) -> subprocess.Popen[Any]:
        if cmd[0] == "mnexec":  # it would enter the mount namespace too; ours does what remains
            cmd = cmd[2:]
        params.setdefault("start_new_session", True)
        return Popen_in(self.netns_path, cmd, **params)

    def popen(self, *args: Any, **params: Any) -> subprocess.Popen[Any]:
        """A process of the emulating host in the node's network namespace (Mininet's ``popen``)."""
        params.setdefault("mncmd", [])
        process: subprocess.Popen[Any] = super().popen(*args, **params)
        return process

    def sendCmd(self, *args: Any, **params: Any) -> None:
        self.startShell()
        super().sendCmd(*args, **params)

    def cmd(self, *args: Any, **params: Any) -> str:
        """Run a shell command in the node's network namespace and return its output."""
        self.startShell()
        output: str = super().cmd(*args, **params)
        return output

    def terminate(self) -> None:
        """End the shell and what it runs."""
        if self.shell is not None:
            if self.shell.poll() is None:  # else its id may be another's
                os.killpg(self.shell.pid, signal.SIGHUP)
            try:
                self.shell.wait(_SHELL_EXIT_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(self.shell.pid, signal.SIGKILL)
            self.outToNode.pop(self.stdout.fileno(), None)
            self.inToNode.pop(self.stdin.fileno(), None)
            self.cleanup()
