"""What listens while a scenario's network is up, with a flow that waits to begin."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from testbed.orchestrator.events.flow import Flow
from testbed.scenario.sections.events import BackgroundFlow, flow_port
from tests.listeners import check_listeners, told
from tests.orchestrator.emulation import emulated, scenario_of
from tests.orchestrator.test_method import TEXT, quiet_reporter
from tiers.protocol import TIER_PORT

pytestmark = pytest.mark.root
FLOW = """
events:
  - {at: 1s, flow: {from: device1, to: cloud1, rate: 1mbit}, for: 1s}
"""


def test_nothing_listens_that_the_page_does_not_have(tmp_path: Path) -> None:
    scenario = scenario_of(TEXT + FLOW, tmp_path)
    (event,) = scenario.events
    assert isinstance(event, BackgroundFlow)
    with emulated(scenario, tmp_path / "run", quiet_reporter()) as session:
        source, target = (session.network.net[name].endpoint for name in ("device1", "cloud1"))
        flow = Flow(event, flow_port(0), source, target)
        try:
            found = check_listeners(os.getpid())
        finally:
            flow.close()
    assert sorted((listener.protocol, listener.port) for listener in found) == [
        ("TCP", TIER_PORT),
        ("TCP", TIER_PORT),
        ("TCP", flow_port(0)),
    ]


def test_what_listens_beside_is_seen() -> None:
    listening = (
        "import socket; s = socket.create_server(('', 0)); print(s.getsockname()[1], flush=True); input()"
    )
    words = ["python3", "-I", "-S", "-c", listening]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as strange:
        assert strange.stdout is not None
        port = strange.stdout.readline().strip()
        with pytest.raises(AssertionError, match=re.escape(port)):
            check_listeners(strange.pid)
        strange.communicate("\n", timeout=10)


def test_the_page_has_rows_for_the_host_and_for_nodes() -> None:
    assert {row.namespace for row in told()} >= {"host", "node"}
