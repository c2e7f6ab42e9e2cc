"""Sends the requests of a trace: each at its time whatever is outstanding (open loop), one after the other
(lockstep), or as users who wait for their answers would (closed loop).

A request enters at its device through that node's own loopback, as its user would. Times are seconds of
the host's monotonic clock since the method's start; latency counts from the trace's time, not from when the
request was sent, so that neither a late orchestrator nor a stalled tier can hide a queue.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from testbed.host.processes.priority import all_threads_promptly
from testbed.host.processes.signals import handled_by
from testbed.network.kernel.netns import socket_in
from testbed.orchestrator.replay.closed_loop import ClosedLoop, run_closed
from testbed.orchestrator.replay.ended import Ended, verdict
from testbed.orchestrator.replay.going import Going
from testbed.orchestrator.replay.shared_windows import SharedWindows
from testbed.results.audit import CUT_OFF
from testbed.scenario.workload.trace_file import Request
from tiers.garbage import settle, settle_at
from tiers.protocol import (
    ANY_MODEL,
    COMPLETIONS_PATH,
    DEADLINE_HEADER,
    MAX_ANSWER_BYTES,
    REQUEST_ID_HEADER,
    TIER_PORT,
    encode_deadline,
    encode_json,
)

LEAD_S = 0.2
"""From the call to time 0, so that the first request is not late."""
WARM_CONNECTIONS = 4
"""To each device, opened before time 0: setting one up takes longer than all else that is between
orchestrator and device. Where more requests are outstanding, more are opened.
"""
WARM_TIMEOUT_S = 0.5
KEEP_ALIVE_S = 600.0
GRACE_S = 2.0
"""How long after its deadline an answer is still waited for: the node itself reports what is late."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one request ended: ``answered`` or a named error; exactly one for each request of the trace.

    One that was under way when the replay was broken off is ``cut_off``; one that was not sent yet has none.
    ``degraded``: the answer says that it stands in for that of a tier which could not be reached.
    ``sent_at_s`` is when its bytes were handed to the kernel; where they were not, when they were to be.
    """

    request_id: str
    device: str
    scheduled_at_s: float
    sent_at_s: float
    done_at_s: float
    latency_ms: float
    outcome: str
    answer: str | None = None
    tier: str | None = None
    degraded: bool = False


Progress = Callable[[int], None]


def replay(
    trace: Sequence[Request],
    prompts: Mapping[str, str],
    namespaces: Mapping[str, str],
    *,
    mode: str,
    deadline_s: float,
    closed: ClosedLoop | None = None,
    windows: SharedWindows | None = None,
    progress: Progress = lambda _done: None,
    started: Callable[[float], None] = lambda _start_s: None,
    going: Going | None = None,
    ended: dict[str, Outcome] | None = None,
) -> list[Outcome]:
    """Replay ``trace`` and return one outcome for each request, in the trace's order.

    Args:
        prompts: each request's text, by request id.
        namespaces: path of each device's network namespace.
        mode: ``open`` keeps the trace's times; ``lockstep`` sends a request when the one before is done;
            ``closed`` when its user wants to, and that time is its ``scheduled_at_s``.
        deadline_s: counts from the time for which a request was scheduled (in lockstep, from sending).
        closed: the users, in a closed loop.
        windows: what nodes of a tier are told of one another between two requests; in lockstep alone.
        progress: called with how many requests are done.
        started: called shortly before time 0 with when that is (``time.monotonic()``).
        going: kept up to date meanwhile.
        ended: takes each request's outcome, by its id, as soon as it has one; so whoever breaks this off has
            the outcomes of all that were begun.
    """
    if (mode == "closed") != (closed is not None):
        raise ValueError("a closed loop needs its users, and no other mode has any")
    if windows is not None and mode != "lockstep":
        raise ValueError("a window is shared in lockstep alone")
    settle()  # what set-up left is not walked again while times are taken
    try:
        with all_threads_promptly():
            replaying = _Replay(
                prompts,
                namespaces,
                deadline_s,
                progress,
                started,
                going or Going(),
                {} if ended is None else ended,
            )
            return _run(replaying.run(trace, mode, closed, windows))
    finally:
        gc.unfreeze()


def _run(replaying: Coroutine[Any, Any, list[Outcome]]) -> list[Outcome]:
    """Run the replay; a signal that ends it is raised when every request under way is cut off.

    An exception out of a signal's handler would end whatever the loop does at that moment, and be lost there.
    """
    arrived: list[int] = []

    async def until_signalled() -> list[Outcome]:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def end(number: int) -> None:
            arrived.append(number)
            task.cancel()
            loop.call_soon_threadsafe(lambda: None)  # it may be waiting

        with handled_by(end):
            return await replaying

    try:
        return asyncio.run(until_signalled())
    finally:  # also where it came too late to cancel anything
        for number in arrived[:1]:
            signal.raise_signal(number)


@dataclass
class _Replay:
    """One replay: the sessions with the devices, and the clock that counts from its start."""

    prompts: Mapping[str, str]
    namespaces: Mapping[str, str]
    deadline_s: float
    progress: Progress
    started: Callable[[float], None]
    going: Going
    ended: dict[str, Outcome]
    sessions: dict[str, aiohttp.ClientSession] = field(default_factory=dict)
    start_s: float = 0.0

    async def run(
        self,
        trace: Sequence[Request],
        mode: str,
        closed: ClosedLoop | None,
        windows: SharedWindows | None,
    ) -> list[Outcome]:
        async with AsyncExitStack() as stack:
            for device in sorted({request.device for request in trace}):
                session = _session(self.namespaces[device])
                self.sessions[device] = await stack.enter_async_context(session)
            bodies = {request.id: _body(self.prompts[request.id]) for request in trace}
            for session in self.sessions.values():  # in turn: a hundred at once each wait 0.5 s for a CPU
                await self._warm(session)
            self.start_s = self.going.start_s = time.monotonic() + LEAD_S
            self.started(self.start_s)
            if mode == "lockstep":
                await self._until(0.0)  # events and captures count from there
                return [await self._in_turn(request, bodies[request.id], windows) for request in trace]
            if closed is not None:

                async def send(index: int, wanted_s: float) -> Outcome:
                    await self._until(wanted_s)
                    return await self._send(trace[index], bodies[trace[index].id], wanted_s)

                return await run_closed(closed, send)
            tasks: list[asyncio.Task[Outcome]] = []
            try:
                for request in trace:
                    await self._until(request.at_s)
                    tasks.append(asyncio.create_task(self._send(request, bodies[request.id], request.at_s)))
                return list(await asyncio.gather(*tasks))
            finally:  # before their connections go
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _warm(self, session: aiohttp.ClientSession) -> None:
        timeout = aiohttp.ClientTimeout(total=WARM_TIMEOUT_S)

        async def ask() -> None:
            with suppress(aiohttp.ClientError, OSError, TimeoutError):  # the replay will show what is wrong
                async with session.get("/health", timeout=timeout) as answer:
                    await answer.read()

        await asyncio.gather(*(ask() for _ in range(WARM_CONNECTIONS)))

    async def _in_turn(self, request: Request, body: bytes, windows: SharedWindows | None) -> Outcome:
        if windows is None:
            return await self._send(request, body, self._now())
        await asyncio.to_thread(windows.exchange, request.device)
        outcome = await self._send(request, body, self._now())
        await asyncio.to_thread(windows.exchange, request.device)
        return outcome

    def _now(self) -> float:
        return time.monotonic() - self.start_s

    async def _until(self, at_s: float) -> None:
        while (wait_s := at_s - self._now()) > 0:
            await asyncio.sleep(wait_s)

    async def _send(self, request: Request, body: bytes, scheduled_s: float) -> Outcome:
        begun_s = self._now()
        self.going.begun += 1
        remaining_s = scheduled_s + self.deadline_s - begun_s
        sent: list[float] = []
        ended = Ended(CUT_OFF)
        try:
            reply = "deadline" if remaining_s <= 0 else await self._exchange(request, body, remaining_s, sent)
            ended = Ended(reply) if isinstance(reply, str) else verdict(*reply)
        finally:
            done_s = self._now()
            sent_s = sent[0] - self.start_s if sent else begun_s
            outcome = self.ended[request.id] = Outcome(
                request.id, request.device, scheduled_s, sent_s, done_s, (done_s - scheduled_s) * 1000,
                ended.outcome, ended.answer, ended.tier, ended.degraded,
            )  # fmt: skip
        self.going.note((sent_s - scheduled_s) * 1000, ended.tier, ended.path)
        self.progress(self.going.done)
        settle_at(self.going.done)
        return outcome

    async def _exchange(
        self, request: Request, body: bytes, remaining_s: float, sent: list[float]
    ) -> tuple[int, bytes] | str:
        """Status and body of the reply, or why there is none; when it was sent is appended to ``sent``."""
        headers = {REQUEST_ID_HEADER: request.id, DEADLINE_HEADER: encode_deadline(remaining_s)}
        try:
            async with self.sessions[request.device].post(
                COMPLETIONS_PATH,
                data=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=remaining_s + GRACE_S),
                trace_request_ctx=sent,
            ) as response:
                came = bytearray()
                async for piece in response.content.iter_any():
                    came += piece
                    if len(came) > MAX_ANSWER_BYTES:
                        response.close()  # what is unread must not be taken for the next answer
                        return "malformed"
                return response.status, bytes(came)
        except TimeoutError:
            return "timeout"
        except (aiohttp.ClientError, OSError):
            return "connection"


async def _note_sent(_session: Any, context: Any, _parameters: Any) -> None:
    """Record that the request is being written, head and body together; its connection is already there."""
    context.trace_request_ctx.append(time.monotonic())


def _body(prompt: str) -> bytes:
    return encode_json({"model": ANY_MODEL, "messages": [{"role": "user", "content": prompt}]})


def connector_in(netns_path: str) -> aiohttp.TCPConnector:
    """Connections of the network namespace at ``netns_path``, as many as are asked for."""

    def make_socket(address: Any) -> socket.socket:
        family, kind, *_ = address
        made = socket_in(netns_path, family, kind)
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    return aiohttp.TCPConnector(limit=0, socket_factory=make_socket, keepalive_timeout=KEEP_ALIVE_S)


def _session(netns_path: str) -> aiohttp.ClientSession:
    trace = aiohttp.TraceConfig()
    trace.on_request_chunk_sent.append(_note_sent)
    return aiohttp.ClientSession(
        f"http://127.0.0.1:{TIER_PORT}",
        connector=connector_in(netns_path),
        headers={"Content-Type": "application/json"},
        auto_decompress=False,  # a compressed answer, which is of any length, is no answer
        trace_configs=[trace],
        trust_env=False,
    )
