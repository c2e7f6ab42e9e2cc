"""Keeps a dead tier above from costing each request its time-out: a circuit breaker for each way up.

A node sends nothing up while its breaker is open; its own answer goes back at once. What counts as a failure
is chosen so that a tier that is slow, and lives, is never taken for a dead one: docs/TIME.md has the table.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any, Literal

from pybreaker import STATE_CLOSED, STATE_OPEN, CircuitBreaker, CircuitBreakerListener

from tiers.chat import error_kind
from tiers.errors import RequestError
from tiers.records import Reply

FAILURES = 5
"""In a row, without a sign of life between: then the breaker opens."""
PAUSE_S = 1.0
"""How long nothing goes up then; the next request is a probe, and while it is under way no other goes up."""
PROBE_CONNECT_S = 5.0
"""For a probe's handshake, beside its round trip: three SYNs (TCP sends them at 0, 1 and 3 s)."""

Sign = Literal["alive", "failed", "silent"]
"""What a request says of the tier above: it answered; it is down; nothing came back before the deadline."""

UNWELL = frozenset({"not_ready", "internal", "upstream"})
"""Errors of a tier's own that will meet the next request as well. ``upstream`` is one that no tier wrote."""
OWN_STATUSES = frozenset({500, 503})
"""A tier's own errors. Those of tiers further up come down as 502, and are none of the one between."""


class _Failed(Exception):
    """Tells the library of a failure; it never leaves this module."""


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to send one request up. ``changes`` is how often the breaker had changed its state by then."""

    is_probe: bool
    begun_s: float
    changes: int


class Breaker(CircuitBreakerListener):
    """One way up under one method. Requests of many threads ask for a :class:`Permit`, and settle it.

    ``pybreaker`` counts failures and keeps the state. Here is what it leaves open: it would hold its lock for
    as long as a call takes, so it only hears how calls ended; exactly one probe is under way at a time; and
    what a request says that was sent before the state changed is ignored.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changes = 0
        self._opened_s = self._heard_s = -1.0
        self._circuit = CircuitBreaker(
            fail_max=FAILURES, reset_timeout=PAUSE_S, listeners=[self], throw_new_error_on_trip=False
        )

    def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
        """Note a change of state: the library's hook."""
        self._changes += 1
        if new_state.name == STATE_OPEN:
            self._opened_s = time.monotonic()

    @property
    def is_open(self) -> bool:
        """Whether requests are refused now, but for a probe."""
        return self._circuit.current_state != STATE_CLOSED

    def admit(self) -> Permit:
        """Leave to send a request up.

        Raises:
            RequestError: ``breaker_open``; nothing is to be sent.
        """
        now_s = time.monotonic()
        with self._lock:
            state = self._circuit.current_state
            if state == STATE_CLOSED:
                return Permit(False, now_s, self._changes)
            if state == STATE_OPEN and now_s >= self._opened_s + PAUSE_S:
                self._circuit.half_open()
                return Permit(True, now_s, self._changes)
        raise RequestError(
            503, "breaker_open", f"the tier above failed {FAILURES} times, and is not asked now"
        )

    def settle(self, permit: Permit, sign: Sign) -> bool:
        """Take in what became of a request; return whether that opened the breaker.

        Silence counts only if nothing came from the tier above, for any request, since this one was sent:
        a tier that answers others is slow, not dead.
        """
        with self._lock:
            if sign == "alive":
                self._heard_s = time.monotonic()
            elif sign == "silent" and self._heard_s >= permit.begun_s:
                if not permit.is_probe:
                    return False
                sign = "alive"
            if permit.changes != self._changes:
                return False
            try:
                self._circuit.call(_fail if sign != "alive" else _succeed)
            except _Failed:
                return self._circuit.current_state == STATE_OPEN
            return False


def sign_of(reply: Reply) -> Sign:
    """What a reply says of the tier that it came from."""
    if reply.status in OWN_STATUSES and error_kind(reply.body) in UNWELL:
        return "failed"
    return "alive"


def _succeed() -> None:
    pass


def _fail() -> None:
    raise _Failed
