"""Background traffic between two neighbouring sites, by iperf3 in their nodes' network namespaces.

Its control connection crosses the link as its data do, on the same port: everything on that port is *other*
to the account of bytes. A flow that a loss keeps from beginning is begun again: iperf3 sends the first
datagram of a UDP flow once, and waits for its answer for half a minute.
"""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import asdict, replace
from typing import Any

from testbed.errors import TestbedError
from testbed.host.processes.waiting import wait_until
from testbed.network.endpoint import Endpoint
from testbed.orchestrator.events.effects import Effect
from testbed.orchestrator.events.iperf3 import Attempt, FlowReport, read_report
from testbed.scenario.sections.events import AnyEvent, BackgroundFlow, flow_ports

LEAST_S = 1
"""For which a further attempt sends at least: iperf3 does so for whole seconds."""
_POLL_S = 0.01
_GREETING_S = 1.0
"""For the answer to a UDP flow's first datagram, and for TCP to carry the word to begin, after a loss."""
_GREETING_ROUND_TRIPS = 3
_PAUSE_S = 0.2
"""Before a further attempt."""
_CLOSING_S = 2.0
_CLOSING_ROUND_TRIPS = 6
"""In which client and server agree that a flow begins, or that it is over and what it did."""


def require_iperf3(events: tuple[AnyEvent, ...]) -> None:
    """Check that background flows can be made here, if there are any.

    Raises:
        TestbedError: there are flows and no iperf3 to make them.
    """
    if flow_ports(events) and shutil.which("iperf3") is None:
        raise TestbedError("events: background flows need iperf3; install it (testbed/provision.sh does)")


class Flow(Effect):
    """A background flow. Its server listens from the start; nothing crosses a link before it begins.

    Args:
        round_trip_s: the longest round trip between the two ends; what is waited for follows it.

    Raises:
        TestbedError: the server did not come to listen.
    """

    def __init__(
        self, event: BackgroundFlow, port: int, source: Endpoint, target: Endpoint, round_trip_s: float = 0.0
    ) -> None:
        assert event.for_s is not None
        self._event, self._for_s = event, round(event.for_s)
        self._port, self._ends, self._round_trip_s = port, (source, target), round_trip_s
        self._report = FlowReport(error="nothing is known of the flow")
        self._begun_s = 0.0
        self._payload_s: float | None = None
        self._attempts = 1
        self._ending = threading.Event()
        # A thread of its own makes further attempts, and lives until they have ended, which end with it.
        self._thread = threading.Thread(target=self._run, name="flow", daemon=True)
        self._attempt = self._new_attempt(self._for_s)

    def _new_attempt(self, seconds: int) -> Attempt:
        return Attempt(self._event.flow, seconds, self._port, *self._ends, self._round_trip_s)

    def begin(self) -> None:
        self._begun_s = time.monotonic()
        self._attempt.begin()
        self._thread.start()

    def end(self) -> None:
        """Wait until the flow has ended, which it is asked to if it is not over.

        Raises:
            TestbedError: it never began, or iperf3 reports an error.
        """
        self._ending.set()
        if self._thread.is_alive():  # not if the flow could not be begun
            self._thread.join()
        if self._report.error is not None:
            raise TestbedError(f"iperf3: {self._report.error}")

    def report(self) -> dict[str, Any]:
        figures = asdict(self._report)
        del figures["error"]
        after_s = None if self._payload_s is None else self._payload_s - self._begun_s
        return {f"flow_{name}": value for name, value in figures.items()} | {
            "flow_payload_after_s": after_s,
            "flow_attempts": self._attempts,
        }

    def close(self) -> None:
        self._ending.set()
        if self._thread.is_alive():  # left by an error, so that nobody waits for what it has to say
            self._attempt.kill()
            self._thread.join()
        self._attempt.close()

    @property
    def _closing_s(self) -> float:
        return _CLOSING_S + _CLOSING_ROUND_TRIPS * self._round_trip_s

    @property
    def _latest_s(self) -> float:
        """When the event's time is over, with what the two ends need to agree."""
        return self._begun_s + self._for_s + self._closing_s

    def _run(self) -> None:
        """The thread: attempt until payload flows or the event's time is over, then wait for the end."""
        try:
            seconds = self._for_s
            while (missing := self._wait_for_payload()) is not None:
                self._attempt.close()
                if self._ending.wait(_PAUSE_S) or time.monotonic() >= self._latest_s:
                    self._report = FlowReport(0, 0, error=self._never(missing))
                    return
                seconds = max(LEAST_S, int(self._begun_s + self._for_s - time.monotonic()))
                self._attempt = self._new_attempt(seconds)
                self._attempts += 1
                self._attempt.begin()
            self._finish(seconds)
        except (TestbedError, OSError) as error:
            self._report = FlowReport(error=str(error))

    def _wait_for_payload(self) -> str | None:
        """Wait until payload flows; return what is missing if this attempt comes to nothing."""
        greeted_s: float | None = None
        while not self._attempt.has_sent:
            now_s = time.monotonic()
            if self._attempt.has_ended:
                if (report := read_report(self._attempt.reports(0, 0)[0])).sent_bytes:
                    break
                return report.error or "it ended without sending anything"
            if greeted_s is None and self._attempt.has_greeted:
                greeted_s = now_s
            patience_s = _GREETING_S + _GREETING_ROUND_TRIPS * self._round_trip_s
            if greeted_s is not None and now_s - greeted_s > patience_s:
                return "its first datagram, or the answer to it, was lost"
            if self._ending.wait(_POLL_S) or now_s >= self._latest_s:
                return "its first datagram, or the answer to it, was lost" if greeted_s else "no connection"
        self._payload_s = time.monotonic()
        return None

    def _never(self, missing: str) -> str:
        times = "1 attempt" if self._attempts == 1 else f"{self._attempts} attempts"
        ended = "" if time.monotonic() >= self._latest_s else ", and the replay ended before another"
        return f"the flow never began, in {times}: {missing}{ended}"

    def _finish(self, seconds: int) -> None:
        """Wait for the end of a flow that has begun, and for what both sides report of it."""
        assert self._payload_s is not None
        # One that a loss held up at its beginning does not go on past the event's time.
        over_s = self._payload_s + seconds
        until_s = min(over_s, self._latest_s)
        while not self._attempt.has_ended and not self._ending.wait(_POLL_S):
            if until_s < over_s and time.monotonic() >= until_s:
                break
        now_s = time.monotonic()
        cut_off = now_s < until_s and not self._attempt.has_ended
        wait_s = max(0.0, until_s + self._closing_s - now_s) if until_s == over_s and not cut_off else 0.0
        by_itself = wait_until(lambda: self._attempt.has_ended, wait_s, _POLL_S)
        client, server = self._attempt.reports(0, self._closing_s)
        self._report = read_report(client, server, cut_off=cut_off)
        if not cut_off and not by_itself:  # it sent for as long as it was to; only their last words were lost
            sent_s = min(self._report.seconds or 0.0, until_s - self._payload_s)
            self._report = replace(self._report, seconds=sent_s, error=None)
