"""The way of a request on real links: what each node decided, and what crossed each link for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from testbed.console import Reporter
from testbed.orchestrator.observe import begin
from testbed.orchestrator.serving.address import bind, url_of
from testbed.orchestrator.serving.front import Front
from testbed.orchestrator.serving.proxy import session_in
from testbed.orchestrator.serving.serve import describe, records_of
from testbed.orchestrator.serving.ways import Ways
from testbed.orchestrator.serving.wires import NetworkWires
from tests import SCENARIOS
from tests.orchestrator.emulation import emulated, scenario_of
from tests.orchestrator.serving.test_front import ask, chat
from tiers.protocol import COMPLETIONS_PATH, REQUEST_ID_HEADER

pytestmark = pytest.mark.root
DEVICES = ["device1", "device2"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, NetworkWires]]:
    """The smoke scenario's network under cloud-only, its devices asked in turn."""
    folder = tmp_path_factory.mktemp("served")
    text = (
        (SCENARIOS / "smoke.yaml").read_text().replace("  - {name: recserve, beta: 0.3, window: 10000}\n", "")
    )
    with emulated(scenario_of(text, folder), folder / "run", Reporter(Console(quiet=True))) as session:
        network, (method,) = session.network, session.inputs.scenario.methods
        begin(session, method)
        wires = NetworkWires(network)
        ways = Ways(method.name, wires, records_of(session.nodes), keep_all=False)
        sessions = {name: partial(session_in, network.node(name).netns_path) for name in DEVICES}
        listening, _ = bind("127.0.0.1", None)
        about = describe(session.inputs, DEVICES, url_of(listening), recorded=False)
        with listening, Front(listening, sessions, DEVICES, ways, wires, about, "127.0.0.1"):
            yield listening.getsockname()[1], wires


def served_way(port: int, request_id: str, prompt: str) -> dict[str, Any]:
    assert ask(port, "POST", COMPLETIONS_PATH, chat(prompt), {REQUEST_ID_HEADER: request_id})[0] == 200
    found: dict[str, Any] = json.loads(ask(port, "GET", f"/ways/{request_id}")[2])
    return found


def test_the_bytes_of_requests_one_after_the_other_are_all_that_crossed(
    served: tuple[int, NetworkWires],
) -> None:
    port, wires = served
    before = wires.carried()
    ways = [served_way(port, f"one{number}", "x" * 100 * number) for number in range(1, 7)]
    after = wires.carried()
    crossed = dict.fromkeys(after, (0, 0))
    for way in ways:
        assert [step["node"] for step in way["nodes"]][1:] == ["edge1", "cloud1"]
        assert [step["kept"] for step in way["nodes"]] == [False, False, True]
        for hop in way["hops"]:
            assert hop["others"] == 0
            assert hop["up_bytes"] > way["prompt_bytes"]
            assert hop["up_ms"] > 0
            assert hop["down_ms"] > 0
            up, down = crossed[hop["link"]]
            crossed[hop["link"]] = (up + hop["up_bytes"], down + hop["down_bytes"])
    assert crossed == {
        name: (after[name][0] - before[name][0], after[name][1] - before[name][1]) for name in after
    }


def test_a_later_request_lacks_the_connections_beginning(served: tuple[int, NetworkWires]) -> None:
    port, _ = served
    first, _, third = (served_way(port, f"same{number}", "y" * 50) for number in range(3))  # in turn
    again = served_way(port, "same3", "y" * 50), served_way(port, "same4", "y" * 50)
    assert third["hops"][0]["link"] == first["hops"][0]["link"] == again[1]["hops"][0]["link"]
    assert third["hops"][0]["up_bytes"] == again[1]["hops"][0]["up_bytes"]


def test_requests_at_the_same_time_share_what_both_could_have_crossed(
    served: tuple[int, NetworkWires],
) -> None:
    port, _ = served
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda name: served_way(port, name, "at once"), ["both1", "both2"]))
    for way in both:
        access, core = way["hops"]
        assert (access["others"], core["others"]) == (0, 1)  # each device has an access link of its own
    assert both[0]["hops"][1]["up_bytes"] == both[1]["hops"][1]["up_bytes"]
    assert both[0]["hops"][0]["up_bytes"] < both[0]["hops"][1]["up_bytes"]


def test_load_by_link_and_the_network_are_told(served: tuple[int, NetworkWires], tmp_path: Path) -> None:
    port, wires = served
    live = json.loads(ask(port, "GET", "/live")[2])
    assert {name: tuple(link["bytes"]) for name, link in live["links"].items()} == dict(wires.carried())
    about = json.loads(ask(port, "GET", "/about")[2])
    assert about["method"]["name"] == "cloud-only"
    assert [node["name"] for node in about["nodes"]] == ["device1", "device2", "edge1", "cloud1"]
    assert {link["name"] for link in about["links"]} == set(live["links"])
    assert about["suggested"]
