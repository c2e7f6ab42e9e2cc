"""Waitress, with each answer in one write, and the times at which requests came in and answers went out.

Waitress writes header and body apart, with Nagle's algorithm off: two segments, 66 bytes more on the
wire for each answer and hop. Here they leave as one buffer.
"""

from __future__ import annotations

import resource
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from flask import Flask
from waitress.adjustments import Adjustments
from waitress.task import ErrorTask, Task, ThreadedTaskDispatcher, WSGITask

from tiers.connections import Connection, Limits, Listener
from tiers.errors import error_body
from tiers.framing import Parser
from tiers.poll import Sockets
from tiers.protocol import ErrorKind
from tiers.stamped import StampedSocket, stamp_arrivals

ARRIVED = "testbed.arrived"
"""Key in the WSGI environment: ``time.monotonic()`` when the request's last byte arrived."""
HANDED_OVER = "testbed.handed_over"
"""Key in the WSGI environment for a function of the application's: it is told ``time.monotonic()`` when the
answer is about to be given to the kernel."""

WAITED_MS = "testbed.waited_ms"
"""Key in the WSGI environment: how long the request waited for one of the server's threads to be done with
another; 0 where one was idle or could be made.
"""

MAX_BODY_BYTES = 2 << 20
"""What is read at all; :data:`tiers.routes.MAX_REQUEST_BYTES`, which is less, is refused with a reason."""
MAX_HEADER_BYTES = 16 << 10
MAX_UNREAD_BYTES = 1 << 20
"""Of a streamed answer; then who writes it waits for the client. A whole answer is one piece."""
LIMITS = Limits()
SPARE_FILES = 64
"""Which a process has open beside its connections."""
THREADS_AT_START = 64
STACK_BYTES = (1 if sys.version_info < (3, 12) else 4) << 20
"""Of a thread that handles requests; 8 MiB, the usual, may be given huge pages and then cost memory. Since
Python 3.12 the json module follows 10,000 brackets on this stack before it gives up: objects take 3 MiB.
"""


class RequestThreads(ThreadedTaskDispatcher):
    """The server's threads: more are made, up to ``most``, whenever all there are have a request.

    A request holds its thread while the tier above is waited for, so that a fixed few would leave the model
    idle while requests queue here, unseen.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self.set_thread_count(min(most, THREADS_AT_START))

    def add_task(self, task: Any) -> None:
        task.waits_since_s = None
        with self.lock:
            there = len(self.threads) - self.stop_count
            if len(self.queue) >= there - self.active_count:
                if 0 < there < self._most:  # 0: shut down
                    self.threads.add(there)
                    self.active_count += 1
                    self.start_new_thread(self.handler_thread, there)
                else:
                    task.waits_since_s = time.monotonic()
        super().add_task(task)

    def start_new_thread(self, target: Callable[[int], object], thread_no: int) -> None:
        usual = threading.stack_size(STACK_BYTES)
        try:
            super().start_new_thread(target, thread_no)
        finally:
            threading.stack_size(usual)


class _OneWrite(Task):  # type: ignore[misc, unused-ignore]
    """Header and first part of the body in one buffer, where the length is known beforehand."""

    def write(self, data: bytes) -> None:
        if self.wrote_header or not data or not self.has_body or self.content_length is None:
            super().write(data)
            return
        header = self.build_response_header()
        self.wrote_header = True
        body = data[: self.content_length]
        self.content_bytes_written += len(body)
        self.about_to_send()
        self.channel.write_soon(header + body)

    def about_to_send(self) -> None:
        """Called before the first byte goes out."""


class _AnswerTask(_OneWrite, WSGITask):
    def get_environment(self) -> dict[str, Any]:
        environment: dict[str, Any] = super().get_environment()
        # A channel reads nothing while it has a request (no look-ahead): its last byte is the request's.
        environment[ARRIVED] = cast(StampedSocket, self.channel.socket).arrived_s
        since_s = cast(Connection, self.channel).waits_since_s
        environment[WAITED_MS] = 0.0 if since_s is None else (time.monotonic() - since_s) * 1000
        return environment

    def about_to_send(self) -> None:
        if self.environ is not None and (told := self.environ.get(HANDED_OVER)) is not None:
            told(time.monotonic())


class _RefusalTask(_OneWrite, ErrorTask):
    """What never becomes a request (not HTTP, too long, too slow) is refused in JSON like all others."""

    def execute(self) -> None:
        error = cast(Parser, self.request).error
        assert error is not None, "Waitress makes this task of errors alone"
        kind: ErrorKind = "not_ready" if error.code == 503 else "invalid_request"
        body = error_body(kind, f"{error.reason}: {error.body}")
        self.status = f"{error.code} {error.reason}"
        self.response_headers = [("Content-Type", "application/json")]
        self.set_close_on_finish()
        self.content_length = len(body)
        cast(Connection, self.channel).refused = True
        self.write(body)


class _Connection(Connection):
    task_class = _AnswerTask
    error_task_class = _RefusalTask


class _Listener(Listener):
    channel_class = _Connection


class Server:
    """A Flask application on one address, served by at most ``threads`` threads.

    Attributes:
        threads: them, and the ``queue`` of what waits for one.
    """

    def __init__(self, app: Flask, host: str, port: int, threads: int, limits: Limits = LIMITS) -> None:
        """Bind and listen; ``port`` 0 takes a free one.

        Raises:
            OSError: the address is not there, or in use.
        """
        self._sockets = Sockets()
        self._lock = threading.Lock()
        self._closing = False
        self.threads = RequestThreads(threads)
        limits = replace(limits, connections=_affordable(limits.connections, threads))
        settings = Adjustments(
            host=host,
            port=port,
            ident=None,  # no Server header
            connection_limit=limits.connections + 3,  # with what listens and wakes, and one more
            max_request_body_size=MAX_BODY_BYTES,
            max_request_header_size=MAX_HEADER_BYTES,
            # Never files: a container can write to a /tmp of 64 MiB alone, which is memory too.
            inbuf_overflow=MAX_BODY_BYTES,
            outbuf_overflow=sys.maxsize,
            outbuf_high_watermark=MAX_UNREAD_BYTES,
            clear_untrusted_proxy_headers=True,
            log_socket_errors=False,
        )
        # Any: the type stubs know neither its port nor its channels.
        server: Any = _Listener(
            app,
            self._sockets,
            dispatcher=self.threads,
            adj=settings,
            sockinfo=settings.listen[0],
            limits=limits,
        )
        stamp_arrivals(server.socket)  # what comes before a connection is accepted too
        self.port = int(server.effective_port)
        self._server = server

    @property
    def channels(self) -> list[Connection]:
        """The connections that there are."""
        return list(self._server.active_channels.values())

    def run(self) -> None:
        """Serve until :meth:`close`."""
        while not self._closing:
            self._sockets.turn(self._server.every_s)
        with self._lock:
            for channel in self.channels:
                channel.handle_close()
            self._server.close()
            self._sockets.close()

    def close(self) -> None:
        """Let what is being answered end, for 5 s at most; then :meth:`run` drops all sockets and returns."""
        self.threads.shutdown()
        with self._lock:  # the pipe that wakes the loop must be there until it has been written to
            self._closing = True
            self._server.pull_trigger()


def _affordable(connections: int, threads: int) -> int:
    """As many connections as the process may have open, beside one upwards for each thread."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(connections, max(files - threads - SPARE_FILES, files // 2))
