"""A relay from a backend link to the one address outside the emulated network that its node may ask."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from pathlib import Path
from typing import Self

from testbed.errors import TestbedError
from testbed.network import relay_process
from testbed.network.kernel.netns import socket_in

REACH_TIMEOUT_S = 10.0
_END_TIMEOUT_S = 5.0
_WITH_LITTLE = ("setpriv", "--clear-groups", "--no-new-privs", "--inh-caps=-all",
                "--bounding-set=-all,+setuid,+setgid", "--")  # fmt: skip
"""It becomes nobody by itself, when it has read what may be root's alone to read: our Python and its file."""


class Relay:
    """Listens at ``here`` in the namespace at ``netns_path``, and relays TCP to ``outside`` from our own.

    The name of a host is resolved once. A context manager: left, the process has ended. It also ends when
    ours does. It has no rights, and knows nothing of what it passes on: TLS ends at the engine.

    Raises:
        TestbedError: on entering: nobody answers there.
    """

    def __init__(self, netns_path: str, here: tuple[str, int], outside: tuple[str, int], node: str) -> None:
        self._netns_path, self._here, self._outside, self._node = netns_path, here, outside, node

    def __enter__(self) -> Self:
        address = self._reached()
        with socket_in(self._netns_path) as listener:
            listener.bind(self._here)
            listener.listen(256)
            self._process = subprocess.Popen(
                [
                    *_WITH_LITTLE,
                    sys.executable,
                    "-I",
                    "-S",
                    relay_process.__file__,
                    str(listener.fileno()),
                    *address,
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(listener.fileno(),),
                cwd=Path("/"),
                start_new_session=True,  # Ctrl-C is the run's to handle
            )
        return self

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_TIMEOUT_S)
        self._process.kill()
        self._process.wait()

    def _reached(self) -> tuple[str, str]:
        """Address and port of the engine, which somebody answers."""
        host, port = self._outside
        try:
            with socket.create_connection((host.strip("[]"), port), REACH_TIMEOUT_S) as connection:
                there = connection.getpeername()
        except OSError as error:
            reason = error.strerror or str(error)
            raise TestbedError(
                f"the engine of {self._node} cannot be reached at {host}:{port} from this host ({reason}); "
                "start it first, or correct the tier's url"
            ) from error
        return str(there[0]), str(there[1])
