"""Background flows: ports, and iperf3."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.orchestrator.events.flow import require_iperf3
from testbed.scenario.sections.events import flow_port, flow_ports
from tests.scenario.test_event_checks import ALL, with_events


def test_each_flow_has_a_port_of_its_own() -> None:
    assert flow_ports(with_events(ALL).events) == {flow_port(6), flow_port(7)}


def test_flows_without_iperf3_are_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TestbedError, match="background flows need iperf3; install it"):
        require_iperf3(with_events(ALL).events)
    require_iperf3(with_events("[{at: 1s, link: core, down: true}]").events)
