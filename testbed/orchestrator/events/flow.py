"""Background traffic between two neighbouring sites, by iperf3 in their nodes' network namespaces.

Its control connection crosses the link as its data do, on the same port: everything on that port is *other*
to the account of bytes.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from testbed.errors import TestbedError
from testbed.host.processes.waiting import wait_until
from testbed.network.endpoint import Endpoint
from testbed.network.kernel.connections import connections
from testbed.network.kernel.netns import Popen_in
from testbed.orchestrator.events.effects import Effect
from testbed.scenario.sections.events import AnyEvent, BackgroundFlow

FIRST_PORT = 20_000
"""Of the first event's flow; the second event's has the next. Far from the tiers' ports."""
_NOBODY = "65534"
_LISTEN_TIMEOUT_S = 20.0
_END_TIMEOUT_S = 5.0
_CONNECT_TIMEOUT_MS = 3000


@dataclass(frozen=True)
class FlowReport:
    """What iperf3 reports of a flow: bytes of payload, without headers.

    ``lost_packets`` are a UDP flow's datagrams that did not arrive; ``retransmits`` a TCP flow's segments.
    """

    sent_bytes: int | None = None
    received_bytes: int | None = None
    lost_packets: int | None = None
    retransmits: int | None = None
    seconds: float | None = None
    error: str | None = None


def flow_port(number: int) -> int:
    """TCP and UDP port of the flow of the event with that number, from 0."""
    return FIRST_PORT + number


def flow_ports(events: tuple[AnyEvent, ...]) -> frozenset[int]:
    """The ports of all flows among the events."""
    return frozenset(
        flow_port(number) for number, event in enumerate(events) if isinstance(event, BackgroundFlow)
    )


def require_iperf3(events: tuple[AnyEvent, ...]) -> None:
    """Check that background flows can be made here, if there are any.

    Raises:
        TestbedError: there are flows and no iperf3 to make them.
    """
    if flow_ports(events) and shutil.which("iperf3") is None:
        raise TestbedError("events: background flows need iperf3; install it (testbed/provision.sh does)")


class Flow(Effect):
    """A background flow. Its server listens from the start; nothing crosses a link before it begins.

    Raises:
        TestbedError: the server did not come to listen.
    """

    def __init__(self, event: BackgroundFlow, port: int, source: Endpoint, target: Endpoint) -> None:
        self._event, self._port, self._source, self._target = event, port, source, target
        self._report = FlowReport()
        self._server = self._iperf3(target, "--server", "--one-off", "--bind", target.ip)
        self._client = self._waiting_client()
        if not wait_until(
            self._is_listening, _LISTEN_TIMEOUT_S, 0.01, possible=lambda: self._server.poll() is None
        ):
            self.close()
            raise TestbedError(f"iperf3 did not come to listen on {target.ip} port {port}")

    def begin(self) -> None:
        assert self._client.stdin is not None
        self._client.stdin.write(b"go\n")
        self._client.stdin.flush()

    def end(self) -> None:
        """Wait until the client has ended, which is asked to if the flow is not over.

        Raises:
            TestbedError: iperf3 reports an error.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._client.wait(0.5 if self._client.poll() is None else 0)
        cut_off = self._client.poll() is None
        if cut_off:
            self._client.send_signal(signal.SIGINT)  # iperf3 then reports what it did so far
        try:
            output, _ = self._client.communicate(timeout=_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._client.kill()
            output, _ = self._client.communicate()
        self._report = read_report(output, cut_off=cut_off)
        if self._report.error is not None:
            raise TestbedError(f"iperf3: {self._report.error}")

    def report(self) -> dict[str, Any]:
        figures = asdict(self._report)
        del figures["error"]
        return {f"flow_{name}": value for name, value in figures.items()}

    def close(self) -> None:
        for process in (self._client, self._server):
            if process.poll() is None:
                process.kill()
            process.communicate()

    def _is_listening(self) -> bool:
        sockets = connections(self._target.netns_path)
        return any(socket.listening and socket.port == self._port for socket in sockets)

    def _waiting_client(self) -> subprocess.Popen[bytes]:
        """Start a client that waits for a line of input: on a busy host a new process takes its time."""
        flow = self._event.flow
        assert self._event.for_s is not None
        words = ["--client", self._target.ip, "--bind", self._source.ip, "--bitrate", str(flow.rate_bps)]
        words += ["--time", str(round(self._event.for_s)), "--connect-timeout", str(_CONNECT_TIMEOUT_MS)]
        words += ["--udp"] if flow.protocol == "udp" else []
        return self._iperf3(self._source, *words, first=["sh", "-c", 'read -r go && exec "$@"', "sh"])

    def _iperf3(self, endpoint: Endpoint, *words: str, first: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        # As nobody, and ended with the thread that started it, whatever ends that.
        drop = ["setpriv", "--reuid", _NOBODY, "--regid", _NOBODY, "--clear-groups", "--no-new-privs"]
        drop += ["--inh-caps=-all", "--bounding-set=-all", "--pdeathsig", "KILL", "--"]
        command = ["iperf3", "--json", "--interval", "0", "--port", str(self._port), *words]
        return Popen_in(
            endpoint.netns_path,
            [*drop, *first, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def read_report(output: bytes, *, cut_off: bool = False) -> FlowReport:
    """Read what iperf3's client prints as JSON (iperf3(1), ``--json``).

    Args:
        cut_off: whether the client was asked to end before the flow was over.
    """
    try:
        report: dict[str, Any] = json.loads(output)
    except ValueError:
        return FlowReport(error="iperf3 was ended before it told what it did")
    error = report.get("error")
    if error is not None and cut_off:
        error = "the replay ended before the flow did"
    end = report.get("end") or {}
    whole, sent, received = (end.get(key) or {} for key in ("sum", "sum_sent", "sum_received"))
    if packets := whole.get("packets"):
        lost, sent_bytes = int(whole["lost_packets"]), int(whole["bytes"])
        received_bytes = round(sent_bytes * (packets - lost) / packets)
        return FlowReport(sent_bytes, received_bytes, lost, None, whole.get("seconds"), error)
    return FlowReport(
        sent.get("bytes"), received.get("bytes"), None, sent.get("retransmits"), sent.get("seconds"), error
    )
