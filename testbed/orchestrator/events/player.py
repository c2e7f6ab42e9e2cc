"""Plays a scenario's events beside a replay, each at its time, and records what became of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from testbed.errors import TestbedError
from testbed.orchestrator.events.effects import Effect
from testbed.orchestrator.events.stage import Stage
from testbed.results.columns import EventRow
from testbed.scenario.sections.event import Event
from testbed.scenario.timeline import Moment, moments


@dataclass
class _Played:
    """An event, and what has become of it so far."""

    event: Event
    effect: Effect
    took_effect_at_s: float | None = None
    ended_at_s: float | None = None
    errors: list[str] = field(default_factory=list)

    @property
    def under_way(self) -> bool:
        return self.took_effect_at_s is not None and self.ended_at_s is None


class EventPlayer:
    """Plays a stage's events while it is entered, from the moment at which :meth:`start` says that time is 0.

    When it is left, every event has ended and everything is put back.

    Attributes:
        reports: afterwards, one for each event.
    """

    def __init__(self, stage: Stage, method: str) -> None:
        self._stage, self._method = stage, method
        self.reports: list[EventRow] = []
        self._played: list[_Played] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._play, name="events", daemon=True)
        self._start_s = 0.0
        self._closing = ExitStack()

    def start(self, start_s: float) -> None:
        """Time 0 is at ``start_s`` of ``time.monotonic()``."""
        self._start_s = start_s
        self._thread.start()

    def __enter__(self) -> Self:
        with self._closing as stack:
            for number, event in enumerate(self._stage.events):
                effect = self._stage.effect(number)
                stack.callback(effect.close)
                self._played.append(_Played(event, effect))
            self._closing = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._closing:
            self._ended.set()
            if self._thread.ident is not None:
                self._thread.join()
            if kind is None:
                self.reports = [self._report(number, played) for number, played in enumerate(self._played, 1)]

    def _play(self) -> None:
        """The thread: every moment at its time; at the end of the replay what is under way ends as well."""
        for moment in moments(self._stage.events):
            if self._ended.wait(max(0.0, moment.at_s - self._now())):
                break
            self._act(moment)
        self._ended.wait()
        for played in self._played:
            if played.under_way:
                self._end(played)

    def _act(self, moment: Moment) -> None:
        played = self._played[moment.number]
        if not moment.begins:
            # A flow ends by itself, and reports what it did when the replay is over.
            if played.under_way and not played.event.ends_by_itself:
                self._end(played)
            return
        for other in self._played:
            if other.under_way and played.event.ends(other.event, self._stage.network.topology):
                self._end(other)
                played.errors += other.errors
        self._attempt(played, played.effect.begin)
        played.took_effect_at_s = self._now()
        if not played.effect.lasts:
            played.ended_at_s = played.took_effect_at_s

    def _end(self, played: _Played) -> None:
        self._attempt(played, played.effect.end)
        played.ended_at_s = self._now()

    @staticmethod
    def _attempt(played: _Played, act: Callable[[], None]) -> None:
        try:
            act()
        except (TestbedError, OSError) as error:
            played.errors.append(str(error))

    def _now(self) -> float:
        return time.monotonic() - self._start_s

    def _report(self, number: int, played: _Played) -> EventRow:
        event, columns = played.event, {}
        if played.took_effect_at_s is not None:
            try:
                columns = played.effect.report()
            except TestbedError as error:
                played.errors.append(str(error))
        ended_at_s = played.ended_at_s
        seconds, after_s = (columns.pop(f"flow_{name}", None) for name in ("seconds", "payload_after_s"))
        if after_s is not None and played.took_effect_at_s is not None:
            columns["flow_payload_at_s"] = played.took_effect_at_s + after_s
            if seconds is not None:
                ended_at_s = min(ended_at_s or 0.0, columns["flow_payload_at_s"] + seconds)
        return EventRow(
            method=self._method,
            number=number,
            kind=event.kind,
            target=event.target,
            at_s=event.at_s,
            for_s=event.for_s,
            took_effect_at_s=played.took_effect_at_s,
            ended_at_s=ended_at_s,
            late_ms=_late_ms(event.at_s, played.took_effect_at_s),
            end_late_ms=_end_late_ms(played),
            skipped=played.took_effect_at_s is None,
            error="; ".join(played.errors) or None,
            **columns,
        )


def _end_late_ms(played: _Played) -> float | None:
    """How late an event was ended; ``None`` for a flow, and where the end of the replay ended it early."""
    if played.event.ends_by_itself:
        return None
    late_ms = _late_ms(played.event.end_s, played.ended_at_s)
    return None if late_ms is None or late_ms < 0 else late_ms


def _late_ms(due_s: float | None, happened_at_s: float | None) -> float | None:
    return None if due_s is None or happened_at_s is None else (happened_at_s - due_s) * 1000
