"""The way of each request that somebody asked: what its nodes recorded, and what crossed each of its links.

Bytes are the change of the kernel's counters from the request's arrival until nothing is under way any more.
They are one request's alone if no other was under way meanwhile that could have crossed the link; otherwise
it is said how many shared them.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from testbed.errors import TestbedError
from testbed.network.measure.paths import STILL_S
from testbed.orchestrator.replay.ended import Ended
from testbed.orchestrator.replay.replay import Outcome
from testbed.orchestrator.rows.requests import request_rows, with_lives
from testbed.orchestrator.serving.wires import Carried, Stillness, Wires
from testbed.results.columns import RequestRow
from testbed.scenario.topology import Topology
from testbed.scenario.workload.datasets import Example

KEPT_WAYS = 1000
"""So many requests, the latest, can be looked at; a record has all."""
SHOWN_CHARACTERS = 200
"""Of a prompt."""
SETTLING_S = 3.0
"""How long the answer about a way waits for its links to come to rest."""

Records = Callable[[str], Mapping[str, Sequence[Mapping[str, Any]]]]
"""By node, what it recorded of a request."""


@dataclass
class Period:
    """From a moment when nothing was under way to the next one. Requests that overlap are in one period."""

    before: Carried
    under_way: int = 0
    begun: Counter[str] = field(default_factory=Counter)
    """By device, how many requests began."""
    after: Carried | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Flight:
    """A request that was asked; ``outcome`` is there when it is over.

    ``shown``: the beginning of its prompt, whose whole length in UTF-8 is ``prompt_bytes``.
    """

    request_id: str
    device: str
    shown: str
    prompt_bytes: int
    began_s: float
    period: Period
    outcome: Outcome | None = None


class Ways:
    """The requests of a network that is kept up, in the order in which they began.

    All but :attr:`flights` belongs to one event loop.
    """

    def __init__(self, method: str, wires: Wires, records: Records, *, keep_all: bool) -> None:
        self.start_s = time.monotonic()
        self.done, self.under_way = 0, 0
        self.outcomes: list[Outcome] = []
        self.prompts: dict[str, str] = {}
        self.latest: OrderedDict[str, Flight] = OrderedDict()
        self._method, self._wires, self._records, self._keep_all = method, wires, records, keep_all
        self._period: Period | None = None
        self._settling: set[asyncio.Task[None]] = set()

    def begin(self, request_id: str, device: str, prompt: str) -> Flight:
        """A request has arrived and is about to be given to its device."""
        if self._period is None:
            self._period = Period(self._wires.carried())
        period = self._period
        period.under_way += 1
        period.begun[device] += 1
        self.under_way += 1
        began_s, length = time.monotonic() - self.start_s, len(prompt.encode())
        flight = Flight(request_id, device, prompt[:SHOWN_CHARACTERS], length, began_s, period)
        if self._keep_all:
            self.prompts[request_id] = prompt
        self.latest[request_id] = flight
        self.latest.move_to_end(request_id)
        if len(self.latest) > KEPT_WAYS:
            self.latest.popitem(last=False)
        return flight

    def end(self, flight: Flight, ended: Ended) -> None:
        """It is over: its answer was passed on to its end, or there is none."""
        done_s = time.monotonic() - self.start_s
        began_s = flight.began_s
        flight.outcome = Outcome(
            flight.request_id, flight.device, began_s, began_s, done_s, (done_s - began_s) * 1000,
            ended.outcome, ended.answer, ended.tier, ended.degraded,
        )  # fmt: skip
        self.done += 1
        self.under_way -= 1
        if self._keep_all:
            self.outcomes.append(flight.outcome)
        flight.period.under_way -= 1
        if not flight.period.under_way:
            task = asyncio.create_task(self._settle(flight.period))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)

    async def _settle(self, period: Period) -> None:
        """End the period when nothing is under way any more, unless another request begins before that."""
        last: Stillness | None = None
        began = period.begun.total()
        while period.begun.total() == began:  # otherwise whichever ends last settles it
            try:
                now = await asyncio.to_thread(self._wires.still)
            except (TestbedError, OSError):  # a node has ended: its period has no end that is known
                self._period = None
                return
            if period.begun.total() != began:
                return
            if now is not None and last is not None and now.counts == last.counts:
                period.after, self._period = now.carried, None
                period.over.set()
                return
            last = now
            await asyncio.sleep(STILL_S)

    async def way(self, request_id: str) -> dict[str, Any] | None:
        """The way of a request as JSON, once it is over; ``None`` if nothing is known of it.

        Bytes are ``None`` if other requests keep the links busy.
        """
        flight = self.latest.get(request_id)
        if flight is None or flight.outcome is None:
            return None
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(flight.period.over.wait(), SETTLING_S)
        records = with_lives(await asyncio.to_thread(self._records, request_id), {})
        topology = self._wires.topology
        crossed: dict[str, dict[str, Any]] = {link.name: {} for link in topology.links}
        examples = {request_id: Example(0, flight.shown, "")}
        (row,) = request_rows(self._method, [flight.outcome], records, examples, topology, crossed)
        return _as_json(row, flight, topology)


def _as_json(row: RequestRow, flight: Flight, topology: Topology) -> dict[str, Any]:
    tiers = {node.name: node.tier for node in topology.nodes}
    columns = ("confidences", "thresholds", "kept", "node_answers", "queue_ms", "inference_ms", "own_ms",
               "forward_errors", "skipped")  # fmt: skip
    values = zip(row.path, *(getattr(row, column) for column in columns), strict=True)
    keys = ("node", "confidence", "threshold", "kept", "answer", "queue_ms", "inference_ms", "own_ms",
            "forward_error", "skipped")  # fmt: skip
    nodes = [dict(zip(keys, each, strict=True)) for each in values]
    return {
        "request_id": row.request_id,
        "outcome": row.outcome,
        "answer": row.answer,
        "tier": row.tier,
        "latency_ms": row.latency_ms,
        "prompt_bytes": flight.prompt_bytes,
        "nodes": [{**node, "tier": tiers[node["node"]]} for node in nodes],
        "hops": [
            {"link": link, "up_ms": up_ms, "down_ms": down_ms, **_bytes(link, flight, topology)}
            for link, up_ms, down_ms in zip(row.hops, row.hop_up_ms, row.hop_down_ms, strict=True)
        ],
    }


def _bytes(link: str, flight: Flight, topology: Topology) -> dict[str, Any]:
    """What crossed a link in the request's period, and how many other requests could have crossed it too."""
    period = flight.period
    others = -1 + sum(count for device, count in period.begun.items() if link in _links_up(device, topology))
    if period.after is None:
        return {"up_bytes": None, "down_bytes": None, "others": others}
    up, down = (period.after[link][way] - period.before[link][way] for way in (0, 1))
    return {"up_bytes": up, "down_bytes": down, "others": others}


def _links_up(device: str, topology: Topology) -> list[str]:
    links = (topology.link_up(node) for node in topology.way_up(device))
    return [link.name for link in links if link is not None]
