"""One attempt at a background flow: an iperf3 server at one end, a client at the other, and what they report.

Whether payload flows is seen from outside, by the bytes that the client has written: iperf3 itself tells
nothing before its end. What arrived is the server's to say: the client knows it only if their last exchange
came through.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.errors import TestbedError
from testbed.host.processes.waiting import wait_until
from testbed.network.endpoint import Endpoint
from testbed.network.kernel.connections import connections
from testbed.network.kernel.netns import Popen_in
from testbed.scenario.sections.events import FlowEnds

_NOBODY = "65534"
_LISTEN_TIMEOUT_S = 20.0
_LEAST_PAYLOAD_BYTES = 1000
"""Written by a client beyond what it writes to agree with its server (some 230 bytes): payload flows."""
_IDLE_S = 120.0
"""iperf3's own bound on a silence, such as of a link that is down."""
_SAY_S = 5.0


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


class Attempt:
    """A server that listens, and a client that waits to be told to begin. Nothing crosses a link before.

    Raises:
        TestbedError: the server did not come to listen.
    """

    def __init__(
        self, flow: FlowEnds, seconds: int, port: int, source: Endpoint, target: Endpoint, round_trip_s: float
    ) -> None:
        self._port, self._target = port, target
        if self._is_listening():
            raise TestbedError(
                f"iperf3 did not come to listen on {target.ip} port {port}: another program listens there"
            )
        silence_s = seconds + 2 * round_trip_s
        # Not without need: before its version 3.10 iperf3 has neither that bound nor the option.
        patience = ["--rcv-timeout", str(round(1000 * (_IDLE_S + silence_s)))] if silence_s > _IDLE_S else []
        self._server = self._iperf3(target, "--server", "--one-off", "--bind", target.ip, *patience)
        words = ["--client", target.ip, "--bind", source.ip, "--bitrate", str(flow.rate_bps)]
        words += ["--time", str(seconds)]
        # As long as the flow is to last: until then the kernel sends a lost SYN again.
        words += ["--connect-timeout", str(round(1000 * (seconds + 3 + 2 * round_trip_s)))]
        words += ["--udp"] if flow.protocol == "udp" else []
        # It waits for a line of input: on a busy host a new process takes its time.
        self._client = self._iperf3(source, *words, first=["sh", "-c", 'read -r go && exec "$@"', "sh"])
        if not wait_until(
            self._is_listening, _LISTEN_TIMEOUT_S, 0.01, possible=lambda: self._server.poll() is None
        ):
            self.close()
            raise TestbedError(f"iperf3 did not come to listen on {target.ip} port {port}")

    def begin(self) -> None:
        assert self._client.stdin is not None
        self._client.stdin.write(b"go\n")
        self._client.stdin.flush()

    @property
    def has_ended(self) -> bool:
        """Whether the client has ended."""
        return self._client.poll() is not None

    @property
    def has_sent(self) -> bool:
        """Whether payload flows, or has flowed; taken for granted where the kernel does not tell."""
        try:
            counts = Path(f"/proc/{self._client.pid}/io").read_text()
        except OSError:
            return not self.has_ended
        written = next((line for line in counts.splitlines() if line.startswith("wchar:")), "wchar: 0")
        return int(written.split()[1]) >= _LEAST_PAYLOAD_BYTES

    @property
    def has_greeted(self) -> bool:
        """Whether the client has sent its first datagram, which its server answers and nobody repeats."""
        try:
            sockets = Path(f"/proc/{self._client.pid}/net/udp").read_text().splitlines()[1:]
        except OSError:
            return False
        return any(int(line.split()[2].rpartition(":")[2], 16) == self._port for line in sockets)

    def reports(self, client_s: float, server_s: float) -> tuple[bytes, bytes]:
        """What client and server print once they have ended, which each is asked to after so many seconds."""
        return self._said(self._client, client_s), self._said(self._server, server_s)

    @staticmethod
    def _said(process: subprocess.Popen[bytes], wait_s: float) -> bytes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait_s)
        if process.poll() is None:
            process.send_signal(signal.SIGINT)  # iperf3 then reports what it did so far
        try:
            return bytes(process.communicate(timeout=_SAY_S)[0])
        except subprocess.TimeoutExpired:
            process.kill()
            return bytes(process.communicate()[0])

    def kill(self) -> None:
        """End both at once, whatever they do; :meth:`close` then waits for nothing."""
        for process in (self._client, self._server):
            process.kill()

    def close(self) -> None:
        for process in (self._client, self._server):
            if process.poll() is None:
                process.kill()
            process.communicate()

    def _is_listening(self) -> bool:
        sockets = connections(self._target.netns_path)
        return any(socket.listening and socket.port == self._port for socket in sockets)

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


def read_report(output: bytes, server_output: bytes | None = None, *, cut_off: bool = False) -> FlowReport:
    """Read what iperf3's client, and its server, print as JSON (iperf3(1), ``--json``).

    Args:
        server_output: counts for what arrived. Without it, or where it does not tell (of UDP, older versions
            do not), what the server told the client does; it is not known if it told the client nothing.
        cut_off: whether the client was asked to end before the flow was over.
    """
    report = _json(output)
    if report is None:
        return FlowReport(error="iperf3 was ended before it told what it did")
    error = report.get("error")
    client_was_told = server_output is None or error is None
    if error is not None and cut_off:
        error = "the replay ended before the flow did"
    end = report.get("end") or {}
    whole, sent, received = (end.get(key) or {} for key in ("sum", "sum_sent", "sum_received"))
    arrived_bytes = _arrived_bytes(server_output or b"")
    if packets := whole.get("packets"):
        lost, sent_bytes = int(whole["lost_packets"]), int(whole["bytes"])
        if arrived_bytes is not None:  # the client may not have been told, and never hears of the last ones
            lost = max(0, packets - round(arrived_bytes * packets / sent_bytes))
        elif client_was_told:
            arrived_bytes = round(sent_bytes * (packets - lost) / packets)
        else:
            return FlowReport(sent_bytes, None, None, None, whole.get("seconds"), error)
        return FlowReport(sent_bytes, arrived_bytes, lost, None, whole.get("seconds"), error)
    if arrived_bytes is None and client_was_told:
        arrived_bytes = received.get("bytes")
    return FlowReport(
        sent.get("bytes"), arrived_bytes, None, sent.get("retransmits"), sent.get("seconds"), error
    )


def _arrived_bytes(server_output: bytes) -> int | None:
    """What a server says that it received; ``None`` if it does not say."""
    received = ((_json(server_output) or {}).get("end") or {}).get("sum_received")
    return int(received.get("bytes") or 0) if isinstance(received, dict) else None


def _json(output: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(output)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
