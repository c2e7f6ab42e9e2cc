"""What iperf3 reports of a flow, at both its ends."""

from __future__ import annotations

import pytest

from testbed.orchestrator.events.iperf3 import read_report
from tests.scenario.test_event_checks import TCP_SAID, UDP_SAID


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
    assert (silent.received_bytes, silent.lost_packets) == (None, None)


def test_of_a_server_that_does_not_tell_what_arrived_the_client_was_told_or_nobody_knows() -> None:
    older = b'{"end": {"sum": {"bytes": 0, "packets": 10, "lost_packets": 3}}}'
    told = read_report(UDP_SAID, older)
    assert (told.received_bytes, told.lost_packets) == (700, 3)
    untold = read_report(UDP_CUT, older)
    assert (untold.sent_bytes, untold.received_bytes, untold.lost_packets) == (1000, None, None)
