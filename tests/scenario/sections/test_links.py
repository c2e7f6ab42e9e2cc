"""Link entries: both directions or each, queues, and figures by the name of a profile."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.scenario.reading.units import parse_rate_bps
from testbed.scenario.scenario import Scenario, load_scenario
from testbed.scenario.sections.links import LinkEntry
from testbed.scenario.sections.profiles import CHOICE, PROFILES
from testbed.scenario.topology import DIRECTIONS, Bursts, Link, Shape
from tests import QUICKSTART


def core(*overrides: str) -> Link:
    """The quickstart's link between edge and cloud, 100 Mbit/s and 30 ms, with keys of its entry set."""
    scenario = load_scenario(QUICKSTART, [f"links.core.{override}" for override in overrides])
    again = Scenario.model_validate(json.loads(json.dumps(scenario.model_dump(mode="json"))))
    assert again == scenario
    assert again.topology == scenario.topology
    return scenario.topology.links[-1]


class TestDirections:
    def test_one_direction_may_have_figures_of_its_own(self) -> None:
        link = core("up.rate=5mbit", "down.delay=40ms", "down.loss=1%", "loss=2%", "up.queue=7")
        assert link.up == Shape(5_000_000, delay_ms=30, loss=0.02, queue_frames=7)
        # 100 Mbit/s over 30 + 40 ms are 875,000 bytes, 577.9 full frames.
        assert link.down == Shape(100_000_000, delay_ms=40, loss=0.01, queue_frames=578)

    def test_a_figure_may_be_set_back_to_zero_in_one_direction(self) -> None:
        link = core("jitter=3ms", "up.jitter=0ms")
        assert (link.up.jitter_ms, link.down.jitter_ms) == (0.0, 3.0)

    def test_an_entrys_figure_that_neither_direction_takes_is_refused(self) -> None:
        with pytest.raises(TestbedError, match=r"links\.core\.rate: has no effect, since up and down both"):
            core("up.rate=5mbit", "down.rate=50mbit")

    def test_a_direction_without_figures_is_as_the_entry(self) -> None:
        assert core("up={}") == core("down={}") == core()


class TestQueues:
    @pytest.mark.parametrize(
        ("queue", "frames"),
        # One bandwidth-delay product, 100 Mbit/s over 60 ms, is 495.4 full frames.
        [("250", 250), ("1bdp", 496), ("2bdp", 991), ("0.5 BDP", 248), ("0.01bdp", 5), ("0.001bdp", 1)],
    )
    def test_in_frames_or_in_bandwidth_delay_products(self, queue: str, frames: int) -> None:
        link = core(f"queue={queue}")
        assert (link.up.queue_frames, link.down.queue_frames) == (frames, frames)

    def test_the_product_is_each_directions_own(self) -> None:
        link = core("queue=1bdp", "up.rate=10mbit")
        assert (link.up.queue_frames, link.down.queue_frames) == (50, 496)

    @pytest.mark.parametrize("lacking", ["delay=0ms", "rate=null"])
    def test_a_product_of_nothing_is_refused(self, lacking: str) -> None:
        with pytest.raises(TestbedError, match=r"links\.core\.queue: needs a rate and a delay"):
            core("queue=2bdp", lacking)


BURSTS = "loss={model: gilbert, p: 1%, r: 30%}"


class TestDelayJitterAndLoss:
    def test_losses_may_come_in_bursts_with_the_chains_mean_as_the_loss(self) -> None:
        link = core(BURSTS)
        assert link.up == link.down
        assert link.up.bursts == Bursts(0.01, 0.3)
        assert link.up.loss == pytest.approx(1 / 31)
        assert core("loss={model: gilbert, p: 1%, r: 30%, bad: 80%, good: 0.1%}").up.bursts == Bursts(
            0.01, 0.3, bad=0.8, good=0.001
        )

    def test_one_figure_of_the_bursts_may_be_set(self) -> None:
        assert core(BURSTS, "loss.p=2%").up.bursts == Bursts(0.02, 0.3)

    def test_a_plain_loss_in_one_direction_has_no_bursts(self) -> None:
        link = core(BURSTS, "up.loss=0%")
        assert (link.up.loss, link.up.bursts) == (0, None)
        assert link.down.bursts == Bursts(0.01, 0.3)

    def test_a_jitter_is_normal_unless_it_says_otherwise(self) -> None:
        link = core("jitter=2ms", "up.jitter={sd: 3ms, distribution: pareto}")
        assert (link.up.jitter_ms, link.up.jitter_distribution) == (3, "pareto")
        assert (link.down.jitter_ms, link.down.jitter_distribution) == (2, "normal")
        assert core("jitter={sd: 2ms}") == core("jitter=2ms")

    def test_delays_may_come_from_a_file_and_count_by_their_median(self, tmp_path: Path) -> None:
        file = tmp_path / "some.delays"
        file.write_text("10\n30.5\n20\n")
        link = core(f"up.delay={{file: {file}}}", "jitter=20ms")
        assert (link.up.delay_file, link.up.delay_ms) == (str(file), 20)
        assert (link.down.delay_file, link.down.delay_ms) == (None, 30)
        # One bandwidth-delay product of 100 Mbit/s over 20 + 30 ms.
        assert link.up.queue_frames == 413
        with pytest.raises(TestbedError, match=r"links\.core\.jitter: is more than the delay"):
            core(f"up.delay={{file: {file}}}", "jitter=21ms")

    def test_a_delay_file_lies_beside_the_scenario_or_where_the_command_runs(self, tmp_path: Path) -> None:
        (tmp_path / "beside.delays").write_text("10\n")
        path = tmp_path / "scenario.yaml"
        path.write_text(QUICKSTART.read_text().replace("delay: 30ms", "delay: {file: beside.delays}"))
        assert load_scenario(path).topology.links[-1].up.delay_file == str(tmp_path / "beside.delays")

    def test_a_manifest_is_read_without_the_delay_file(self, tmp_path: Path) -> None:
        file = tmp_path / "some.delays"
        file.write_text("10\n30\n20\n")
        scenario = load_scenario(QUICKSTART, [f"links.core.delay={{file: {file}}}"])
        file.unlink()
        manifest = scenario.model_dump(mode="json")
        assert manifest["links"][1]["delay_ms"] == {"file": str(file), "median_ms": 20.0, "most_ms": 30.0}
        assert Scenario.model_validate(manifest).topology == scenario.topology

    def test_the_chain_loses_its_mean_in_the_long_run(self) -> None:
        chance = random.Random(1)
        bursts = Bursts(0.02, 0.25, bad=0.9, good=0.01)
        bad, lost = False, 0
        for _ in range(200_000):
            lost += chance.random() < (bursts.bad if bad else bursts.good)
            bad ^= chance.random() < (bursts.r if bad else bursts.p)
        assert lost / 200_000 == pytest.approx(bursts.mean, rel=0.05)


class TestProfiles:
    @pytest.mark.parametrize("name", PROFILES)
    def test_every_figure_has_a_source_with_its_year_or_is_called_a_choice(self, name: str) -> None:
        profile = PROFILES[name]
        for direction in DIRECTIONS:
            figures = profile.figures(direction)
            assert figures.keys() == {"rate", "delay", "jitter", "loss"} == profile.sources.keys()
        for source in profile.sources.values():
            assert source.startswith(CHOICE) or re.search(r"\b(19|20)\d\d\b", source)

    @pytest.mark.parametrize("name", PROFILES)
    def test_every_profile_makes_a_link(self, name: str) -> None:
        entry = LinkEntry.model_validate({"name": "a", "between": ["device", "edge"], "profile": name})
        for direction in DIRECTIONS:
            assert entry.figure(direction, "rate_bps") == parse_rate_bps(
                PROFILES[name].figures(direction)["rate"]
            )
            assert entry.figure(direction, "delay_ms") > entry.figure(direction, "jitter_ms")

    def test_the_entrys_own_figures_come_before_the_profiles(self) -> None:
        scenario = load_scenario(QUICKSTART, ["links.access.profile=dsl", "links.access.up.loss=1%"])
        access = scenario.topology.links[0]
        # The quickstart's entry gives rate, delay, jitter and loss.
        assert access.up == Shape(20_000_000, delay_ms=10, jitter_ms=2, loss=0.01)
        assert access.down == Shape(20_000_000, delay_ms=10, jitter_ms=2)

    def test_what_the_entry_leaves_out_is_the_profiles(self, tmp_path: Path) -> None:
        path = tmp_path / "dsl.yaml"
        figures = "rate: 20mbit,  delay: 10ms, jitter: 2ms, loss: 0%"
        path.write_text(QUICKSTART.read_text().replace(figures, "profile: dsl, jitter: 3ms"))
        scenario = load_scenario(path, ["links.access.down.rate=16mbit"])
        link = scenario.topology.links[0]
        assert link.up == Shape(1_400_000, delay_ms=10, jitter_ms=3)
        assert link.down == Shape(16_000_000, delay_ms=10, jitter_ms=3)
        manifest = scenario.model_dump(mode="json")["links"][0]
        assert manifest["profile"] == "dsl"
        assert manifest["up"]["rate_bps"] == 1_400_000
        assert manifest["up"]["delay_ms"] == 10.0

    def test_a_profile_gives_way_to_a_figure_by_either_name(self) -> None:
        asked = {"name": "a", "between": ["device", "edge"], "profile": "dsl", "up": {"rate_bps": 9000}}
        assert LinkEntry.model_validate(asked).figure("up", "rate_bps") == 9000
