"""The front door of a network that is kept up: the OpenAI API, a page, and the figures that it shows."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from testbed.orchestrator.serving.callers import LOOK_EVERY_S, Callers
from testbed.orchestrator.serving.guard import guard
from testbed.orchestrator.serving.proxy import MAX_BODY_BYTES, Proxy
from testbed.orchestrator.serving.ways import Ways
from testbed.orchestrator.serving.wires import Wires
from tiers.protocol import encode_json

PAGE = Path(__file__).parent / "page"
FILES = {"/": "page.html", "/page.css": "page.css", "/page.js": "page.js"}
PASSED_ON = ("/v1/{rest:.*}", "/openapi.json")
"""What is a node's to answer."""
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
SHOWN_REQUESTS = 12
START_S, END_S = 30.0, 10.0
LAST_ANSWERS_S = 2.0
"""How long answers that are on their way when all ends may take."""


def make_app(
    proxy: Proxy, wires: Wires, about: Mapping[str, Any], name: str, callers: Callers
) -> web.Application:
    """The application: ``/v1/*`` passed on, the page, and its figures.

    Args:
        about: what the page is told once of scenario, method and network.
        name: by which it was told to listen.
        callers: is told who asks.
    """
    app = web.Application(middlewares=[callers.middleware, guard(name)], client_max_size=MAX_BODY_BYTES)
    ways = proxy.ways

    async def live(_request: web.Request) -> web.Response:
        return _json(_live(ways, wires))

    async def one_way(request: web.Request) -> web.Response:
        way = await ways.way(request.match_info["request_id"])
        if way is None:
            raise web.HTTPNotFound
        return _json(way)

    async def told(_request: web.Request) -> web.Response:
        return _json(about)

    for path, file in FILES.items():
        app.router.add_get(path, _file(PAGE / file))
    app.router.add_get("/about", told)
    app.router.add_get("/live", live)
    app.router.add_get("/ways/{request_id}", one_way)
    for path in PASSED_ON:
        app.router.add_route("*", path, proxy.handle)
    app.on_response_prepare.append(_without_server)
    return app


async def _without_server(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.popall("Server", None)


def _logger() -> logging.Logger:
    """Logs defects, and nothing of what peers send that is no HTTP: they are told themselves."""

    def is_defect(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError | web.RequestPayloadError | ConnectionError)

    logger = logging.getLogger("testbed.front")
    logger.filters[:] = [is_defect]
    return logger


def _file(path: Path) -> Callable[[web.Request], Any]:
    content = path.read_bytes()

    async def served(_request: web.Request) -> web.Response:
        return web.Response(body=content, content_type=KINDS[path.suffix], charset="utf-8")

    return served


def _json(value: Any) -> web.Response:
    return web.Response(body=encode_json(value), content_type="application/json")


def _live(ways: Ways, wires: Wires) -> dict[str, Any]:
    """Counters of this moment, and the latest requests, the last first."""
    carried, waiting = wires.carried(), wires.waiting()
    latest = itertools.islice(reversed(ways.latest.values()), SHOWN_REQUESTS)
    return {
        "at_s": time.monotonic() - ways.start_s,
        "done": ways.done,
        "under_way": ways.under_way,
        "links": {name: {"bytes": carried[name], "waiting": waiting[name]} for name in carried},
        "requests": [
            {
                "request_id": flight.request_id,
                "device": flight.device,
                "prompt": flight.shown,
                "outcome": flight.outcome and flight.outcome.outcome,
                "tier": flight.outcome and flight.outcome.tier,
                "latency_ms": flight.outcome and flight.outcome.latency_ms,
            }
            for flight in latest
        ],
    }


class Front:
    """A front door that is open while the context lasts, in a thread of its own.

    Args:
        listening: a bound socket, which is closed at the end.
        sessions: makes, in the thread's event loop, the connections to each device.
        ways: likewise, what is noted of requests.
    """

    def __init__(
        self,
        listening: socket.socket,
        sessions: Mapping[str, Callable[[], aiohttp.ClientSession]],
        devices: Sequence[str],
        ways: Ways,
        wires: Wires,
        about: Mapping[str, Any],
        name: str,
    ) -> None:
        self.ways = ways
        self._listening, self._sessions, self._devices = listening, sessions, devices
        self._wires, self._about, self._name = wires, about, name
        self._opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="front", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._opened.result(START_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(END_S)

    @property
    def is_open(self) -> bool:
        """Whether it still answers."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._opened.done():
                raise
            self._opened.set_exception(error)

    async def _serve(self) -> None:
        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        async with AsyncExitStack() as stack:
            sessions = {
                device: await stack.enter_async_context(make())
                for device, make in self._sessions.items()
                if device in self._devices
            }
            proxy = Proxy(sessions, itertools.cycle(self._devices), self.ways)
            callers = Callers(proxy.limits.head_s)
            app = make_app(proxy, self._wires, self._about, self._name, callers)
            runner = web.AppRunner(
                app,
                access_log=None,
                auto_decompress=False,
                logger=_logger(),
                handler_cancellation=True,
                lingering_time=proxy.limits.linger_s,
                shutdown_timeout=LAST_ANSWERS_S,
            )
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.SockSite(runner, self._listening).start()
            self._opened.set_result(None)
            while not self._closing.is_set():
                assert runner.server is not None, "it was set up"
                callers.look(runner.server.connections)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), LOOK_EVERY_S)
