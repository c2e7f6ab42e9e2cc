"""What is taken of a recorded trace: a part of its time, more or fewer of its requests, at another pace."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from testbed.errors import TestbedError
from testbed.scenario.draws import stream
from testbed.scenario.reading.units import duration, parse_time_s
from testbed.scenario.traces.formats import Arrival
from testbed.scenario.traces.times import date_ns, is_date

MAX_SCALE = 1_000.0


@dataclass(frozen=True)
class Bound:
    """An end of a part: nanoseconds since 1970, or since the trace's first request."""

    ns: int
    is_date: bool

    def of(self, first_ns: int) -> int:
        """As the trace counts, whose first time that is."""
        return self.ns if self.is_date else first_ns + self.ns


@dataclass(frozen=True)
class Part:
    """Requests from ``begins`` on, before ``ends``; ``text`` is what the user wrote."""

    begins: Bound
    ends: Bound
    text: str

    @classmethod
    def parse(cls, text: str) -> Part:
        """``10min,20min`` since the first request, or two dates.

        Raises:
            TestbedError: it is neither.
        """
        begins, comma, ends = (piece.strip() for piece in text.partition(","))
        if not comma:
            raise TestbedError(f"--between: {text!r} has no comma; write 10min,20min or two dates")
        low, high = _bound(begins), _bound(ends)
        if low.is_date != high.is_date:
            raise TestbedError(
                f"--between: {text!r} has a date and a time since the start; write two of one kind"
            )
        if low.ns >= high.ns:
            raise TestbedError(f"--between: {ends} is not after {begins}; write the earlier one first")
        return cls(low, high, text)


def _bound(text: str) -> Bound:
    if is_date(text):
        try:
            return Bound(date_ns(text), True)
        except ValueError as error:
            raise TestbedError(f"--between: {error}") from None
    try:
        return Bound(round(parse_time_s(text) * 10**9), False)
    except TestbedError as error:
        raise TestbedError(f"--between: {error}, or a date like 2023-11-16 18:20:00") from None


def checked_scale(option: str, scale: float) -> float:
    """A factor.

    Raises:
        TestbedError: it is none that a trace can be scaled by.
    """
    if not (math.isfinite(scale) and 0 < scale <= MAX_SCALE):
        raise TestbedError(f"{option}: {scale} is not above 0 and at most {MAX_SCALE:,.0f}")
    return scale


class Taken(NamedTuple):
    """A request of what is taken: ``at_ns`` since the beginning of the part."""

    at_ns: float
    input_tokens: int
    output_tokens: int | None
    device: str | None


@dataclass(frozen=True)
class Scaling:
    """What to take of a trace.

    Attributes:
        rate_scale: requests for each one; below 1 by lot, above 1 with copies, each at a moment drawn between
            the request before and its own.
        time_scale: a second becomes so many.
    """

    part: Part | None = None
    rate_scale: float = 1.0
    time_scale: float = 1.0
    seed: int = 1


class Taking:
    """Takes a trace as :class:`Scaling` says, and keeps count of what becomes of its rows."""

    def __init__(self, scaling: Scaling) -> None:
        self._scaling = scaling
        self.counts: Counter[str] = Counter()
        self.begins_ns = 0
        """The moment that is 0 in what is taken, as the file counts."""
        self.dated = False
        self.to_the_end = False
        """Whether the file's last row was read."""
        self._first_ns = self._last_ns = 0

    def take(self, arrivals: Iterable[Arrival]) -> Iterator[Taken]:
        """What is left of the rows, in order of time.

        Raises:
            TestbedError: the part is of dates, and the file has none.
        """
        scaling = self._scaling
        lots, moments = stream(scaling.seed, "rate-scale"), stream(scaling.seed, "copies")
        whole, rest = divmod(scaling.rate_scale, 1)
        last_ns: int | None = None
        for arrival in self._within(arrivals):
            at_ns = arrival.at_ns - self.begins_ns
            times = int(whole) + (lots.random() < rest)
            if times == 0:
                self.counts["left out to lower the rate"] += 1
            else:
                gap_ns = 0 if last_ns is None else at_ns - last_ns
                copies = sorted(at_ns - gap_ns * moments.random() for _ in range(times - 1))
                if copies:
                    self.counts["copied to raise the rate"] += len(copies)
                for ns in (*copies, at_ns):
                    yield Taken(
                        ns * scaling.time_scale, arrival.input_tokens, arrival.output_tokens, arrival.device
                    )
            last_ns = at_ns

    def _within(self, arrivals: Iterable[Arrival]) -> Iterator[Arrival]:
        """The rows of the part that have a prompt. What comes after the part is not read."""
        part, ends_ns = self._scaling.part, 0
        for number, arrival in enumerate(arrivals):
            if number == 0:
                self._first_ns = self.begins_ns = arrival.at_ns
                self.dated = arrival.dated
                if part is not None:
                    if part.begins.is_date and not arrival.dated:
                        raise TestbedError("--between: the file's times are no dates; write 10min,20min")
                    self.begins_ns, ends_ns = part.begins.of(arrival.at_ns), part.ends.of(arrival.at_ns)
            self._last_ns = arrival.at_ns
            if part is not None and arrival.at_ns >= ends_ns:
                return
            self.counts["read"] += 1
            if arrival.at_ns < self.begins_ns:
                self.counts["before the part"] += 1
            elif arrival.input_tokens == 0:
                self.counts["of a prompt of 0 tokens"] += 1
            else:
                yield arrival
        self.to_the_end = True

    def nothing_left(self) -> str:
        """Why no request is left, and what to ask for instead."""
        if self.counts["left out to lower the rate"]:
            return "--rate-scale: no request is left; take a higher one"
        if self._scaling.part is not None:
            read = duration((self._last_ns - self._first_ns) / 10**9)
            return (
                f"--between: no request is between {self._scaling.part.text.replace(',', ' and ')}; "
                f"{read} were read since the first"
            )
        return "no request has a prompt: all are of 0 tokens"
