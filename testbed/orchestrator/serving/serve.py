"""`testbed serve`: a scenario's tiers behind one address of the OpenAI API, with a page of requests."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.host.processes.signals import Terminated
from testbed.orchestrator.nodes.control import NodeControl, on_all
from testbed.orchestrator.prepare import Inputs
from testbed.orchestrator.serving.address import LOOPBACK, bind, url_of
from testbed.orchestrator.serving.front import Front
from testbed.orchestrator.serving.keep_up import Asked, Use, keep_up, prepared
from testbed.orchestrator.serving.proxy import session_in
from testbed.orchestrator.serving.ways import Records, Ways
from testbed.orchestrator.serving.wires import NetworkWires
from testbed.orchestrator.session import Session
from testbed.results.directory import RunDirectory
from testbed.scenario.reading.mistakes import nearest
from testbed.scenario.scenario import Scenario

SPREAD = "spread"
LOOKED_EVERY_S = 1.0
SUGGESTED = 50
"""Prompts of the scenario's trace that the page suggests."""


class Serve(Use):
    """Lets clients ask the devices until a signal ends it."""

    command = "serve"

    def __init__(
        self,
        listening: socket.socket,
        devices: Sequence[str],
        host: str,
        reporter: Reporter,
        *,
        keep_all: bool,
    ) -> None:
        self._listening, self._devices, self._host = listening, devices, host
        self._reporter, self._keep_all = reporter, keep_all

    def run(self, session: Session) -> Asked:
        network, (method,) = session.network, session.inputs.scenario.methods
        wires = NetworkWires(network)
        ways = Ways(method.name, wires, records_of(session.nodes), keep_all=self._keep_all)
        sessions = {device: partial(session_in, network.node(device).netns_path) for device in self._devices}
        url = url_of(self._listening)
        about = describe(session.inputs, self._devices, url, recorded=self._keep_all)
        front = Front(self._listening, sessions, self._devices, ways, wires, about, self._host)
        ended_by = None
        try:
            with front:
                asked = ", ".join(self._devices)
                self._reporter.say(f"{asked} can be asked at {url}/v1 (base_url of a client); page: {url}/")
                self._reporter.say("Ctrl-C ends it")
                self._wait(session, front)
        except (KeyboardInterrupt, Terminated):
            ended_by = _failure(network.link_process.require_alive)  # whose end interrupts us too
        except TestbedError as error:
            ended_by = error
        self._reporter.say(f"{ways.done} request{' was' if ways.done == 1 else 's were'} served")
        ended_by = ended_by or _failure(*(engine.require_running for engine in network.engines))
        return Asked(ways.start_s, ways.outcomes, ways.prompts, ended_by)

    def _wait(self, session: Session, front: Front) -> None:
        """Wait for a signal, or until an engine has ended: what was asked can then still be told.

        Raises:
            TestbedError: the container of a node or the link process has ended.
        """
        while front.is_open:
            session.network.link_process.require_alive()  # its end interrupts nobody who ignores SIGINT
            for node in session.nodes:
                if not node.host.lives:
                    node.host.require_running()
            if not all(engine.lives for engine in session.network.engines):
                return
            time.sleep(LOOKED_EVERY_S)
        raise RuntimeError("the front door has closed by itself")


def _failure(*required: Callable[[], None]) -> TestbedError | None:
    """Why the first of these that is not met is not."""
    try:
        for require in required:
            require()
    except TestbedError as error:
        return error
    return None


def serve(
    scenario: Scenario,
    reporter: Reporter,
    *,
    device: str | None = None,
    method: str | None = None,
    host: str = LOOPBACK,
    port: int | None = None,
    record: bool = False,
    out: Path | None = None,
) -> RunDirectory | None:
    """Serve a scenario until a signal ends it; return its run directory, if there is to be one.

    Args:
        device: the node of the lowest tier that is asked; its first by default. ``spread``: all in turn.
        method: in force; by default the first whose policy is recserve, or the first.
        host: to listen on. ``port``: by default 8000, or a free one.

    Raises:
        TestbedError: as a run, or there is no such device or method, or the address cannot be listened on.
    """
    scenario, notes = prepared(scenario, method, record=record)
    devices = devices_to_ask(scenario, device)
    listening, told = bind(host, port)
    with listening:
        for note in (*notes, *told):
            reporter.say(note)
        use = Serve(listening, devices, host, reporter, keep_all=record)
        return keep_up(scenario, use, reporter, record=record, out=out)


def devices_to_ask(scenario: Scenario, asked: str | None) -> list[str]:
    """The nodes of the lowest tier that take turns, in their order.

    Raises:
        TestbedError: there is none of that name.
    """
    lowest = scenario.tier_names[0]
    devices = [node.name for node in scenario.topology.nodes if node.tier == lowest]
    if asked is None:
        return devices[:1]
    if asked == SPREAD:
        return devices
    if asked not in devices:
        raise TestbedError(
            f"--device: tier {lowest} has no node {asked!r}; {nearest(asked, [*devices, SPREAD])}"
        )
    return [asked]


def records_of(nodes: Sequence[NodeControl]) -> Records:
    """Asks nodes for what they recorded of a request."""

    def of(request_id: str) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        with suppress(TestbedError):  # a node that ended ends the serving, and says so there
            return on_all(nodes, lambda node: node.records(request_id))
        return {}

    return of


def describe(inputs: Inputs, devices: Sequence[str], url: str, *, recorded: bool) -> dict[str, Any]:
    """What the page is told once."""
    scenario, (method,) = inputs.scenario, inputs.scenario.methods
    texts = dict.fromkeys(example.text for example in inputs.examples.values())
    return {
        "scenario": scenario.name,
        "task": scenario.task.kind,
        "url": f"{url}/v1",
        "recorded": recorded,
        "devices": list(devices),
        "method": {"name": method.name, "policy": method.policy, "parameters": method.parameters},
        "deadline_ms": round(scenario.replay.deadline_s * 1000),
        "nodes": [
            {"name": node.name, "tier": node.tier, "parent": node.parent} for node in inputs.topology.nodes
        ],
        "models": {tier.name: f"{tier.model.told_as}, {tier.cpus:g} CPU" for tier in scenario.tiers},
        "links": [
            {
                "name": link.name,
                "children": list(link.children),
                "parent": link.parent,
                "up": _figures(asdict(link.up)),
                "down": _figures(asdict(link.down)),
            }
            for link in inputs.topology.links
        ],
        "suggested": list(texts)[:SUGGESTED],
    }


def _figures(shape: Mapping[str, Any]) -> dict[str, Any]:
    return {name: shape[name] for name in ("rate_bps", "delay_ms", "jitter_ms", "loss", "queue_frames")}
