"""Mininet's command line on a network that is up."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

from testbed.network.mininet_compat import CLI, log
from testbed.network.network import Network


class Prompt(CLI):
    """Mininet's CLI, which ends at EOF, ``exit`` or ``quit``; all that it prints is on standard output.

    Raises:
        TestbedError: the link process has ended, and all links with it.
    """

    def __init__(self, network: Network) -> None:
        self._links = network.link_process
        if not sys.stdin.isatty():
            self.prompt = ""  # a script's output has no prompts in it
        log.handlers[0].stream = sys.stdout
        super().__init__(network.net, stdin=sys.stdin)

    @classmethod
    def initReadline(cls) -> None:
        """Line editing, with the history of this session alone: Mininet would write a file at home."""
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 (its import changes what input() does)

    def run(self) -> None:
        """Read commands to their end. On a terminal Ctrl-C ends a command; elsewhere it ends all."""
        if self.isatty():
            super().run()
        else:
            self.cmdloop()

    def cmdloop(self, intro: str | None = None) -> None:
        try:
            super().cmdloop(intro)
        except KeyboardInterrupt:
            self._links.require_alive()  # whose end interrupts us too
            raise

    def do_iperf(self, line: str) -> None:
        """Say how to measure what TCP carries between two nodes.

        Mininet's own test waits for a second line of the server's, which iperf has not printed since 2.1.
        """
        nodes = line.split()
        client, server = nodes if len(nodes) == 2 else ("NODE", "OTHER")
        self.stdout.write(
            "Mininet's own iperf waits without end for an iperf of 2.1 or later; write\n"
            f"{server} iperf -s &\n{client} iperf -t 5 -c {server}\n"
        )

    def waitForNode(self, node: Any) -> None:
        """Print what a node's command prints until it ends.

        Mininet passes what is typed meanwhile on to the command; of a script that would be the next lines.
        """
        if self.isatty():
            super().waitForNode(node)
            return
        while node.waiting:
            self.stdout.write(node.monitor())
            self.stdout.flush()
