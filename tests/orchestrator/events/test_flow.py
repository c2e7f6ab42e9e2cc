"""Background flows: ports, iperf3, its report."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.orchestrator.events.flow import flow_port, flow_ports, read_report, require_iperf3
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
