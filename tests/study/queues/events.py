"""The same queues once more, event by event: slow and plain, to hold :mod:`testbed.study.queues` against.

It shares the plant's figures and the constants of time with what it checks, and no code.
"""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from collections.abc import Callable
from functools import partial

import numpy as np

from testbed.study.queues.plant import Plant, Way
from testbed.study.queues.simulate import EXCHANGE_S, FORWARD_S, OWN_S
from testbed.study.what_if.study import Study

SEGMENT_BYTES, HEADER_BYTES = 1448, 66


class Events:
    """RecServe with one β, or the top tier alone (``beta`` of ``None``), without jitter."""

    def __init__(self, study: Study, plant: Plant, beta: float | None) -> None:
        self.study, self.plant, self.beta = study, plant, beta
        self.confidences = [tier.confidences(None)[study.places] for tier in study.tiers.values()]
        self.windows: dict[tuple[int, int], list[float]] = defaultdict(list)
        self.free_s: dict[tuple[object, ...], float] = defaultdict(float)
        self.idle: dict[tuple[int, int], int] = defaultdict(int)
        self.answered_by: dict[int, int] = {}
        self.latency_s: dict[int, float] = {}
        self.ways: dict[int, list[int]] = {}
        self._heap: list[tuple[float, int, Callable[[float], None]]] = []
        self._number = itertools.count()

    def at(self, time_s: float, act: Callable[[float], None]) -> None:
        heapq.heappush(self._heap, (time_s, next(self._number), act))

    def run(self) -> None:
        for one, (sent_s, device) in enumerate(zip(self.plant.sent_s, self.plant.devices, strict=True)):
            self.ways[one] = [int(device)]
            self.at(sent_s + EXCHANGE_S / 2 + OWN_S / 2, partial(self.come, one=one, level=0))
        while self._heap:
            time_s, _, act = heapq.heappop(self._heap)
            act(time_s)

    def come(self, now: float, one: int, level: int) -> None:
        top = len(self.plant.tiers) - 1
        if self.beta is None and level < top:
            return self.forward(now, one, level)
        server = ("node", level, self.ways[one][level])
        service_s = self.plant.service_s[level][self.study.places[one]]
        self.free_s[server] = max(self.free_s[server], now) + service_s
        self.at(self.free_s[server], lambda then: self.decide(then, one, level))
        return None

    def decide(self, now: float, one: int, level: int) -> None:
        window, confidence = self.windows[level, self.ways[one][level]], self.confidences[level][one]
        window.append(confidence)
        is_low = len(window) > 1 and confidence < np.percentile(window, 100 * (self.beta or 0))
        if level < len(self.plant.tiers) - 1 and is_low:
            return self.forward(now, one, level)
        self.answered_by[one] = level
        payload = int(self.plant.answer_payloads[level, self.study.places[one]])
        self.at(now + OWN_S / 2, lambda then: self.answer(then, one, level, payload))
        return None

    def forward(self, now: float, one: int, level: int) -> None:
        hop, child = self.plant.hops[level], self.ways[one][level]
        link = int(hop.links[child])
        self.ways[one].append(int(hop.parents[child]))
        payload = int(self.plant.request_payloads[self.study.places[one]])

        def begin(began_s: float) -> None:
            handshake_s = 0.0
            if self.idle[level, child]:
                self.idle[level, child] -= 1
            else:
                handshake_s = float(hop.connecting_s[link])
            self.at(began_s + handshake_s, send)

        def send(sent_s: float) -> None:
            came_s = self.cross(hop.up, ("up", level), link, sent_s, payload)
            self.at(came_s + OWN_S / 2, lambda then: self.come(then, one, level + 1))

        self.at(now + FORWARD_S, begin)

    def answer(self, now: float, one: int, level: int, payload: int) -> None:
        if level == 0:
            self.latency_s[one] = now + EXCHANGE_S / 2 - self.plant.sent_s[one]
            return
        hop, child = self.plant.hops[level - 1], self.ways[one][level - 1]
        inferred, passed = self.plant.step_bytes[level - 1]

        def back(then: float) -> None:
            self.idle[level - 1, child] += 1
            more = passed if self.beta is None else inferred
            self.at(then + OWN_S / 2, lambda later: self.answer(later, one, level - 1, payload + more))

        self.at(self.cross(hop.down, ("down", level), int(hop.links[child]), now, payload), back)

    def cross(self, way: Way, name: tuple[object, ...], link: int, now: float, payload: int) -> float:
        size_bytes = payload + HEADER_BYTES * -(-payload // SEGMENT_BYTES)
        server = (*name, link)
        self.free_s[server] = max(self.free_s[server], now) + size_bytes * 8 / float(way.rate_bps[link])
        return self.free_s[server] + float(way.delay_s[link])
