"""Events of a scenario: what is accepted, in what order it happens, and what each mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.results.columns import EventRow
from testbed.scenario.scenario import Scenario, load_scenario
from testbed.scenario.sections.events import BackgroundFlow, LinkChange, RateFile
from testbed.scenario.timeline import late_events, moments, shapes_under, under_events
from testbed.scenario.topology import Bursts
from tests import QUICKSTART
from tests.scenario.refusals import refusal

ALL = """[
 {at: 10s, link: core, set: {rate: 5mbit, delay: 80ms, loss: 1%}},
 {at: 500ms, link: device1-edge1, set: {rate: 1mbit}, direction: up, for: 2s},
 {at: 20s, link: access, down: true, for: 5s},
 {at: 3s, link: core, down: true}, {at: 6s, link: core, up: true},
 {at: 5s, link: access, rate_file: traces/up-and-down.mahi, direction: down, for: 30s},
 {at: 5s, flow: {from: device1, to: edge1, rate: 10mbit}, for: 10s},
 {at: 5s, flow: {from: cloud1, to: edge1, rate: 1mbit, protocol: udp}, for: 10s},
 {at: 10s, node: edge1, do: pause, for: 3s},
 {at: 13s, node: edge1, do: kill, for: 5s}]"""


def with_events(text: str) -> Scenario:
    return load_scenario(QUICKSTART, [f"events={text}"])


def test_every_kind_is_read_and_a_manifest_reads_back_as_it_was() -> None:
    scenario = with_events(ALL)
    kinds = ["set", "set", "down", "down", "up", "rate_file", "flow", "flow", "pause", "kill"]
    assert [event.kind for event in scenario.events] == kinds
    assert scenario.events[6].target == "device1-edge1"
    change, flow = scenario.events[0], scenario.events[7]
    assert isinstance(change, LinkChange)
    assert change.figures.given == {
        "rate_bps": 5_000_000,
        "delay_ms": 80.0,
        "delay_file": None,
        "loss": 0.01,
        "bursts": None,
    }
    assert isinstance(flow, BackgroundFlow)
    assert (flow.flow.rate_bps, flow.flow.protocol, flow.for_s) == (1_000_000, "udp", 10.0)
    assert isinstance(scenario.events[5], RateFile)
    assert Path(scenario.events[5].rate_file).is_absolute()
    assert Scenario.model_validate(scenario.model_dump(mode="json")).events == scenario.events


def test_what_an_event_sets_leaves_nothing_of_what_the_link_had_of_it_before() -> None:
    bursts = "{at: 1s, link: core, set: {loss: {model: gilbert, p: 1%, r: 30%}}, direction: up}"
    plain = "{at: 2s, link: core, set: {loss: 2%}, direction: up, for: 1s}"
    delays = "{at: 4s, link: core, set: {delay: {file: traces/wandering.delays}}, direction: up}"
    still = "{at: 5s, link: core, set: {jitter: {sd: 1ms, distribution: uniform}}, direction: up}"
    scenario = with_events(f"[{bursts}, {plain}, {delays}, {still}]")
    shapes = [shape for _, _, shape in shapes_under(scenario.events, scenario.topology)]
    assert [(shape.loss, shape.bursts) for shape in shapes[:3]] == [
        (pytest.approx(1 / 31), Bursts(0.01, 0.3)),
        (0.02, None),
        (0.0, None),  # as the scenario has it, when the second is over
    ]
    assert [shape.delay_ms for shape in shapes] == [30, 30, 30, 12.77, 12.77]
    assert Path(str(shapes[3].delay_file)).is_absolute()
    assert (shapes[4].jitter_ms, shapes[4].jitter_distribution) == (1, "uniform")
    assert Scenario.model_validate(scenario.model_dump(mode="json")).events == scenario.events


def test_events_happen_in_order_of_time_whatever_the_order_of_the_file() -> None:
    scenario = with_events(
        "[{at: 9s, link: core, set: {rate: 1mbit}}, {at: 2s, node: edge1, do: pause, for: 3s},"
        " {at: 5s, node: edge1, do: pause, for: 1s}]"
    )
    happening = [(moment.at_s, moment.number, moment.begins) for moment in moments(scenario.events)]
    assert happening == [(2, 1, True), (5, 1, False), (5, 2, True), (6, 2, False), (9, 0, True)]


def test_what_follows_exactly_begins_after_the_end_of_what_was_before() -> None:
    scenario = with_events(
        "[{at: 3.3s, link: core, set: {rate: 1mbit}}, {at: 1.1s, link: core, set: {rate: 5mbit}, for: 2.2s}]"
    )
    happening = [(moment.at_s, moment.number, moment.begins) for moment in moments(scenario.events)]
    assert happening == [(1.1, 1, True), (3.3, 1, False), (3.3, 0, True)]


def test_a_link_that_goes_down_twice_comes_up_twice() -> None:
    downs = ", ".join(
        f"{{at: {at}s, link: core, {what}: true}}" for at, what in enumerate(("down", "up", "down", "up"), 1)
    )
    assert len(with_events(f"[{downs}]").events) == 4


def test_an_entry_stands_for_all_of_its_links_and_a_link_for_itself() -> None:
    scenario = with_events(ALL)
    topology = scenario.topology
    named = [[link.name for link in event.links(topology)] for event in scenario.events]
    assert named[2] == ["device1-edge1", "device2-edge1"]
    assert named[1] == ["device1-edge1"]
    assert named[7] == ["edge1-cloud1"]
    assert named[8] == []


def test_a_flow_of_any_sibling_uses_the_link_that_they_share() -> None:
    flow = "{at: 1s, flow: {from: edge1, to: device2, rate: 1mbit}, for: 1s}"
    scenario = load_scenario(QUICKSTART, ["links.access.shared=true", f"events=[{flow}]"])
    topology = scenario.topology
    assert [link.name for link in scenario.events[0].links(topology)] == ["access-edge1"]


WRONG = {
    "[{at: 1s}]": "events.1: says nothing that happens; give one of set, down, up",
    "[3]": "events.1: must be a mapping such as {at: 10s",
    "[{at: 1s, link: core, down: true, set: {rate: 1mbit}}]": "events.1: says both set and down",
    "[{link: core, down: true}]": "events.1.at: is missing; add it",
    "[{at: 1, link: core, down: true}]": "events.1.at: 1 has no unit",
    "[{at: -1s, link: core, down: true}]": "events.1.at: '-1s' is negative",
    "[{at: 1s, link: cor, down: true}]": "events.1.link: no link 'cor'; did you mean core?",
    "[{at: 1s, link: device3-edge1, down: true}]": "did you mean device",
    "[{at: 1s, link: core, down: false}]": "events.1.down: must be True",
    "[{at: 1s, link: core, up: true}]": "events.1.up: no event without `for` took core down before 1 s",
    "[{at: 1s, link: core, down: true}, {at: 2s, link: core, up: true}, {at: 3s, link: core, up: true}]":
        "events.3.up: no event without `for` took core down before 3 s, or another has brought it up already",
    "[{at: 3s, link: core, down: true}, {at: 3s, link: core, up: true}]": "events.2.up: no event without",
    "[{at: 1s, link: core, set: {rat: 1mbit}}]": "events.1.set.rat: unknown key; did you mean rate?",
    "[{at: 1s, link: core, set: {rate: 1}}]": "events.1.set.rate: 1 has no unit",
    "[{at: 1s, link: core, set: {}}]": "events.1.set: changes nothing; give a rate",
    "[{at: 1s, link: access, set: {delay: 1ms}}]": "events.1.set: leaves a jitter of 2 ms with a delay of 1",
    "[{at: 1s, link: core, set: {reorder: 1%, delay: 0ms}}]": "events.1.set: leaves a reordering",
    "[{at: 1s, link: core, set: {jitter: {sd: 31ms, distribution: pareto}}}]": "leaves a jitter of 31 ms",
    "[{at: 1s, link: core, set: {loss: {model: gilbert, p: 1%}}}]": "events.1.set.loss.r: is missing; add it",
    "[{at: 1s, link: core, set: {delay: {file: none.delays}}}]": "events.1.set.delay.file: no such file",
    "[{at: 1s, link: core, set: {queue: 1000000}}]": "events.1.set: lets edge1-cloud1 (up) hold 1,539 MiB",
    "[{at: 1s, link: core, set: {loss: 2%}},"
    " {at: 1s, link: core, set: {loss: {model: gilbert, p: 1%, r: 9%}}}]":
        "events.2.at: changes the loss (up) of edge1-cloud1 while event 1 does",
    "[{at: 1s, link: core, set: {rate: 1mbit}, direction: left}]": "1.direction: must be 'up' or 'down'",
    "[{at: 1s, link: core, rate_file: none.mahi}]": "events.1.rate_file: no such file or directory",
    "[{at: 1s, link: core, rate_file: README.md}]": "README.md:1: '# llm-testbed' is no whole number",
    "[{at: 1s, node: edge2, do: pause}]": "events.1.node: no node 'edge2'; did you mean edge1?",
    "[{at: 1s, node: edge1, do: stop}]": "events.1.do: must be 'pause' or 'kill', not 'stop'",
    "[{at: 1s, flow: {from: device1, to: edge1, rate: 1mbit}}]": "events.1.for: is missing; add it",
    "[{at: 1s, flow: {from: device1, to: edge1, rate: 1mbit}, for: 1500ms}]": "1.for: iperf3 sends for",
    "[{at: 1s, flow: {from: device1, to: edge, rate: 1mbit}, for: 1s}]": "events.1.flow.to: no node 'edge'",
    "[{at: 1s, flow: {from: device1, to: cloud1, rate: 1mbit}, for: 1s}]":
        "no link joins device1 and cloud1, and no route leads past a tier; device1 has edge1",
    "[{at: 1s, flow: {from: device1, to: edge1, rate: 1mbit, protocol: quic}, for: 1s}]":
        "events.1.flow.protocol: must be 'tcp' or 'udp'",
    "[{at: 1s, link: access, down: true, for: 5s}, {at: 2s, link: device1-edge1, down: true}]":
        "events.2.at: changes the state of device1-edge1 while event 1 does (from 1 s to 6 s)",
    "[{at: 9s, link: core, set: {rate: 1mbit}}, {at: 2s, link: core, rate_file: traces/up-and-down.mahi}]":
        "events.2.at: changes the rate (up) of edge1-cloud1 while event 1 does (from 9 s)",
    "[{at: 1s, link: core, set: {loss: 1%}}, {at: 1s, link: core, set: {loss: 2%}, direction: up}]":
        "events.2.at: changes the loss (up) of edge1-cloud1 while event 1 does",
    "[{at: 1s, node: edge1, do: pause}, {at: 9s, node: edge1, do: kill}]":
        "events.2.at: changes the state of edge1 while event 1 does (from 1 s on)",
}  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_event_is_one_sentence_with_its_place_and_its_mend(text: str) -> None:
    assert WRONG[text] in refusal(f"events={text}")


@pytest.mark.parametrize(
    "text",
    [
        "[{at: 1s, link: core, down: true, for: 1s}, {at: 2s, link: core, down: true, for: 1s}]",
        "[{at: 1s, link: core, set: {rate: 1mbit}}, {at: 2s, link: core, set: {rate: 2mbit}}]",
        "[{at: 1s, link: core, set: {rate: 1mbit}, for: 9s}, {at: 2s, link: core, set: {loss: 1%}}]",
        "[{at: 1s, link: core, rate_file: traces/up-and-down.mahi, direction: up},"
        " {at: 1s, link: core, set: {rate: 1mbit}, direction: down}]",
        "[{at: 1s, link: core, down: true}, {at: 1s, node: edge1, do: pause}]",
        "[{at: 1.1s, link: core, set: {rate: 5mbit}, for: 2.2s}, {at: 3.3s, link: core, set: {rate: 1mbit}}]",
        "[{at: 100ms, link: core, down: true, for: 200ms}, {at: 300ms, link: core, down: true}]",
    ],
)
def test_events_that_do_not_meet_are_accepted(text: str) -> None:
    assert len(with_events(text).events) == 2


def test_an_event_after_the_last_request_is_allowed_and_noted() -> None:
    events = with_events(
        "[{at: 1s, link: core, down: true, for: 1s}, {at: 99s, node: edge1, do: pause}]"
    ).events
    (note,) = late_events(events, 60.0)
    assert note.startswith("events.2: at 99 s is after the last request (60.0 s)")


def test_a_capture_is_told_of_the_highest_rate_that_events_bring() -> None:
    scenario = with_events("[{at: 1s, link: access, rate_file: traces/up-and-down.mahi, direction: up}]")
    links = under_events(scenario.events, scenario.topology).links
    assert {link.up.rate_bps for link in links if link.entry == "access"} == {20_000_000, 7_267_200}


TCP_SAID = b"""{"end": {"sum_sent": {"bytes": 900, "seconds": 1.5, "retransmits": 2},
 "sum_received": {"bytes": 800}}}"""
UDP_SAID = b"""{"end": {"sum": {"bytes": 1000, "packets": 10, "lost_packets": 3, "seconds": 1}}}"""


REPORT = EventRow("recserve", 2, "down", "core", at_s=3.0, took_effect_at_s=3.01, late_ms=10.0)
