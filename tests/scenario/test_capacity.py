"""What the link process cannot hold is refused, and what it may not carry is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.scenario.capacity import capacity_notes
from testbed.scenario.scenario import Scenario, load_scenario
from testbed.scenario.timeline import under_events
from tests import QUICKSTART, SCENARIOS
from tests.scenario.refusals import refusal


def quickstart(*overrides: str) -> Scenario:
    return load_scenario(QUICKSTART, overrides)


def notes(*overrides: str) -> list[str]:
    scenario = quickstart(*overrides)
    return capacity_notes(under_events(scenario.events, scenario.topology))


class TestMemory:
    def test_queues_of_all_links_are_added_up(self) -> None:
        assert quickstart("links.access.queue=80000")  # 4 directions of 123 MiB
        assert (
            "links.access.queue: lets device1-edge1 (up) hold 135 MiB of frames in its queue, 54"
            in refusal("links.access.queue=88000")
        )

    def test_a_queue_in_bandwidth_delay_products_is_the_delays_doing(self) -> None:
        sentence = refusal("links.core.rate=10gbit", "links.core.delay=2s")
        assert "links.core.delay: lets edge1-cloud1 (up) hold" in sentence
        assert sentence.endswith("has 512 MiB; lower it, or the rate, or write a shorter queue, in frames")

    def test_frames_on_the_way_count_with_jitter(self) -> None:
        figures = ("links.core.rate=1gbit", "links.core.queue=100", "links.core.down.delay=0ms")
        assert quickstart(*figures, "links.core.delay=3s")  # 381 MiB
        sentence = refusal(*figures, "links.core.delay=3s", "links.core.up.jitter=300ms")
        assert "links.core.delay: lets edge1-cloud1 (up) hold 610 MiB of frames on the way" in sentence
        assert sentence.endswith("lower it, or the rate")

    def test_all_ways_together_never_hold_more_than_the_process_takes_in(self) -> None:
        assert quickstart("links.core.rate=null", "links.access.rate=null", "links.core.delay=3s")

    def test_the_longest_delay_of_a_file_counts(self, tmp_path: Path) -> None:
        file = tmp_path / "some.delays"
        file.write_text("1\n1\n59999\n")
        assert quickstart("links.core.rate=10mbit", f"links.core.delay={{file: {file}}}")
        assert "links.core.delay: lets edge1-cloud1 (up) hold 762 MiB" in refusal(
            f"links.core.delay={{file: {file}}}"
        )

    def test_what_events_bring_counts_and_is_named_by_its_event(self, tmp_path: Path) -> None:
        slow, fast = (
            "{at: 1s, link: core, set: {queue: 9}}",
            "{at: 2s, link: core, set: {rate: 1gbit, delay: 9s}}",
        )
        assert "events.2.set: lets edge1-cloud1 (up) hold 1,144 MiB" in refusal(f"events=[{slow}, {fast}]")
        file = tmp_path / "fast.mahi"
        file.write_text("".join(f"{ms}\n" * 80 for ms in range(1, 201)))  # 0.97 Gbit/s
        follows = f"events=[{{at: 0s, link: core, rate_file: {file}, direction: up}}]"
        assert "events.1.rate_file: lets" in refusal(
            follows, "links.core.delay=5s", "links.core.queue=100", "links.core.rate=10mbit"
        )

    def test_a_manifest_loads_whatever_memory_there_is_now(self) -> None:
        manifest = quickstart().model_dump(mode="json")
        manifest["links"][1]["queue"] = 1_000_000
        assert Scenario.model_validate(manifest)


class TestRates:
    @pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.yaml")), ids=lambda path: path.stem)
    def test_the_repositorys_scenarios_are_within_what_is_carried(self, path: Path) -> None:
        scenario = load_scenario(path)
        assert capacity_notes(under_events(scenario.events, scenario.topology)) == []

    def test_a_link_that_may_carry_more_is_named_with_its_rate(self) -> None:
        assert notes("links.core.rate=300mbit") == []
        assert notes("links.core.down.rate=1gbit") == [
            "link core may carry up to 1 Gbit/s, more than the link process is known to (300 Mbit/s): "
            "if it does, the verdict on latency is lost"
        ]

    def test_a_rate_that_an_event_brings_counts(self) -> None:
        (note,) = notes("events=[{at: 1s, link: device1-edge1, set: {rate: 600mbit}, for: 1s}]")
        assert note.startswith("link access may carry up to 600 Mbit/s")

    def test_links_without_a_rate_are_one_note(self) -> None:
        (note,) = notes("links.core.rate=null", "links.access.rate=null")
        assert note.startswith("links access, core have no rate, and the link process is known to carry 300")
