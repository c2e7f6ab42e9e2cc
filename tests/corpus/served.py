"""Sends bytes to a tier's server, which runs in a process of its own, and reads what comes back."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse, RemoteDisconnected
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, get_args

from tests import ROOT
from tests.tiers.nodes import HOST, ask, call, free_port, is_ready, node_config, wait_until
from tiers.config import NODE_VARIABLE
from tiers.protocol import ErrorKind

ANSWER_S = 30
"""How long a server may take for what is a matter of milliseconds: the machine may be busy."""
CLOSED = "closed without an answer"
MOST_MEMORY_BYTES = 400 << 20
"""Resident, at its highest; a server without torch needs some 60 MiB, and a request may have 2 MiB."""


class Served:
    """A top tier's server with a recorded model."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: BinaryIO) -> None:
        self.pid, self.port, self._log = process.pid, port, log

    def refusal(self, sent: bytes) -> str | None:
        """Send bytes as they are, and nothing after them; how they are refused, ``None`` if they are taken.

        Raises:
            AssertionError: what came back is no answer, or the server is not well afterwards.
        """
        logged = self._log.seek(0, os.SEEK_END)
        refused = first_error(exchange(self.port, sent), sent)
        assert call(self.port, "GET", "/health", timeout_s=ANSWER_S).status == 200
        self._log.seek(logged)
        said = self._log.read().decode(errors="replace")
        warned = said.partition(" tiers ")[2].startswith("WARNING method ")  # a policy cannot be loaded
        assert not said or warned, f"the server's log: {said}"
        return refused

    def check_well(self) -> None:
        """The server answers a prompt, and never took more memory than it may."""
        assert ask(self.port, "good", timeout_s=ANSWER_S).status == 200
        highest = self.memory_bytes("VmHWM")
        assert highest < MOST_MEMORY_BYTES, f"{highest >> 20} MiB"

    def memory_bytes(self, field: str = "VmRSS") -> int:
        """A field of the process's status, proc(5): resident now, or ``VmHWM``, at its highest."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


@contextmanager
def serving(tier: str = "cloud", above: int | None = None, **changes: Any) -> Iterator[Served]:
    """A server that is ready: of the top tier, or of one with another above."""
    config = node_config(tier, above, port=free_port(), **changes)
    environment = {**os.environ, NODE_VARIABLE: json.dumps(config)}
    command = [sys.executable, "-m", "tiers.server"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=log)
        try:
            wait_until(lambda: is_ready(config["port"]), 60)
            yield Served(process, config["port"], log)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def exchange(port: int, sent: bytes) -> bytes:
    """What comes back until the server closes the connection.

    Bytes are sent beside the reading: a server may answer, and close, before it has them all.
    """
    with socket.create_connection((HOST, port), timeout=ANSWER_S) as connection:
        sending = threading.Thread(target=_send, args=(connection, sent))
        sending.start()
        came = bytearray()
        try:
            while piece := connection.recv(1 << 16):
                came += piece
        except ConnectionResetError:
            pass  # it closed while bytes were on their way to it
        sending.join()
    return bytes(came)


def _send(connection: socket.socket, sent: bytes) -> None:
    try:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # it has closed already


class _Replayed:
    """A socket that has received these bytes."""

    def __init__(self, stream: BytesIO) -> None:
        self._stream = stream

    def makefile(self, _mode: str) -> Any:
        return _Unclosed(self._stream)


class _Unclosed:
    """Reads on where the answer before ended."""

    def __init__(self, stream: BytesIO) -> None:
        self.read, self.readline, self.readinto = stream.read, stream.readline, stream.readinto

    def close(self) -> None: ...

    def flush(self) -> None: ...


def first_error(came: bytes, sent: bytes) -> str | None:
    """The first error of what came back; ``None`` if all is answers to what was asked.

    Raises:
        AssertionError: it is neither answers nor errors as the OpenAI API writes them.
    """
    stream = BytesIO(came)
    refused = None if came else CLOSED
    verb = "HEAD" if sent.lstrip().startswith(b"HEAD ") else "POST"
    while stream.tell() < len(came):
        response = HTTPResponse(_Replayed(stream), method=verb)  # type: ignore[arg-type]
        try:
            response.begin()
            body = response.read()
        except RemoteDisconnected:  # after "100 Continue"
            refused = refused or CLOSED
            break
        except HTTPException as error:
            raise AssertionError(f"{error!r}: {came[:300]!r}") from error
        assert 200 <= response.status < 600, came[:300]
        assert response.status < 500 or response.status in (501, 502, 503, 504), came[:300]
        if response.status >= 400 and verb != "HEAD":
            told = json.loads(body)["error"]
            assert told["type"] in get_args(ErrorKind), told
            assert isinstance(told["message"], str), told
            assert told["message"], told
            refused = refused or f"{response.status}: {told['message']}"
    return refused
