"""Background flows: ports, iperf3, its report."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.orchestrator.events.flow import flow_port, flow_ports, require_iperf3
from testbed.orchestrator.events.iperf3 import read_report
from tests.scenario.test_event_checks import ALL, TCP_SAID, UDP_SAID, with_events


def test_each_flow_has_a_port_of_its_own() -> None:
    assert flow_ports(with_events(ALL).events) == {flow_port(6), flow_port(7)}


def test_flows_without_iperf3_are_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TestbedError, match="background flows need iperf3; install it"):
        require_iperf3(with_events(ALL).events)
    require_iperf3(with_events("[{at: 1s, link: core, down: true}]").events)


def test_a_flow_s_report_is_iperf3_s() -> None:
    tcp, udp = read_report(TCP_SAID), read_report(UDP_SAID)
    assert (tcp.sent_bytes, tcp.received_bytes, tcp.retransmits, tcp.seconds) == (900, 800, 2, 1.5)
    assert (udp.sent_bytes, udp.received_bytes, udp.lost_packets) == (1000, 700, 3)
    assert read_report(b'{"error": "unable to connect"}').error == "unable to connect"
    assert read_report(b"", cut_off=True).error is not None


UDP_CUT = b"""{"error": "interrupt - the client has terminated", "end": {"sum": {"bytes": 1000, "packets": 10,
"lost_packets": 0, "seconds": 9.2}, "sum_received": {"bytes": 0, "packets": 0}}}"""
TCP_CUT = b"""{"error": "interrupt - the client has terminated", "end": {"sum_sent": {"bytes": 900,
"seconds": 9.2, "retransmits": 4}, "sum_received": {"bytes": 0}}}"""
SERVER_SAID = b'{"error": "interrupt", "end": {"sum_received": {"bytes": 600, "seconds": 12.2}}}'


@pytest.mark.parametrize(("client", "lost"), [(UDP_CUT, 4), (TCP_CUT, None)])
def test_what_arrived_is_the_server_s_to_say_and_not_what_a_client_assumes(
    client: bytes, lost: int | None
) -> None:
    report = read_report(client, SERVER_SAID, cut_off=True)
    assert (report.received_bytes, report.lost_packets) == (600, lost)
    assert report.error == "the replay ended before the flow did"
    silent = read_report(client, b"", cut_off=True)
    assert (silent.received_bytes, silent.lost_packets) == (0, None if lost is None else 10)
