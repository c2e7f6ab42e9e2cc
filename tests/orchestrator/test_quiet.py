"""Real tiers across a link slower than usual time-outs: requests are answered, and rest is waited for."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from http.client import HTTPConnection

import pytest

from testbed.network.kernel.netns import socket_in
from testbed.orchestrator.quiet import read_when_quiet, wait_until_connections_closed
from testbed.scenario.patience import round_trip_s, slowest_way_up_s
from testbed.scenario.topology import Shape
from tests.network.lab import tree, up
from tests.orchestrator.rows.test_hop_times import tier
from tiers.protocol import COMPLETIONS_PATH, DEADLINE_HEADER, TIER_PORT, encode_deadline, encode_json

SLOW = Shape(20 * 10**6, delay_ms=15_000)


@pytest.mark.root
@pytest.mark.timeout(400)
def test_a_request_is_answered_over_a_link_of_15_s_and_the_link_comes_to_rest() -> None:
    topology = tree(devices=1, up=SLOW)
    slowest_s = round_trip_s(topology.links)
    assert slowest_s == pytest.approx(30, abs=0.2)
    with up(topology) as network, ExitStack() as stack:
        ways = {node: slowest_way_up_s(node, topology) for node in ("edge1", "device1")}
        stack.enter_context(tier(network, "edge1", "cloud1", ways["edge1"]))
        device = stack.enter_context(tier(network, "device1", "edge1", ways["device1"]))
        connection = HTTPConnection("127.0.0.1", TIER_PORT)
        connection.sock = socket_in(network.node("device1").netns_path)
        connection.sock.settimeout(100)
        connection.sock.connect(("127.0.0.1", TIER_PORT))
        begun_s = time.monotonic()
        body = encode_json({"messages": [{"role": "user", "content": "so so"}]})
        connection.request("POST", COMPLETIONS_PATH, body, {DEADLINE_HEADER: encode_deadline(90)})
        answer = json.loads(connection.getresponse().read())
        took_s = time.monotonic() - begun_s
        connection.close()
        (record,) = device.records()
        assert record["forward_error"] is None
        assert answer["recserve"]["tier"] == "edge"
        assert took_s == pytest.approx(2 * slowest_s, abs=2)  # connecting, and asking
        device.disconnect()
        assert wait_until_connections_closed(network, slowest_s)
        assert read_when_quiet(network, slowest_s).quiet
