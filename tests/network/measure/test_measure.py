"""Real links, measured: a true one is found true, and each way of being wrong is noticed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from testbed.host.facts import usable_cpus
from testbed.network.link import WanLink
from testbed.network.link_process.client import LinkProcess
from testbed.network.measure.loss import measure_loss
from testbed.network.measure.measure import measure
from testbed.network.measure.paths import Effort, LinkPath, paths_of, wait_until_quiet
from testbed.network.measure.rate import NOT_KEPT_FULL, measure_rates
from testbed.network.measure.times import measure_times
from testbed.network.network import Network
from testbed.orchestrator.watch.cpu import CpuWatch
from testbed.orchestrator.watch.probe_process import __file__ as PROBE_FILE
from testbed.orchestrator.watch.probes import ProbeWatch
from testbed.results.evidence import Evidence, LinkAccount
from testbed.results.fidelity import judge
from testbed.scenario.reports import Finding
from testbed.scenario.topology import DIRECTIONS, Bursts, Shape
from tests.network.lab import failures, run_id, tree

EFFORT = Effort()
SEED = 3


def one(findings: list[Finding], quantity: str, direction: str) -> Finding:
    (found,) = [each for each in findings if (each.quantity, each.direction) == (quantity, direction)]
    return found


def off(finding: Finding) -> float:
    """How far a figure is from what was configured."""
    assert finding.measured is not None
    assert finding.configured is not None
    return abs(finding.measured - finding.configured)


@dataclass(frozen=True)
class Measured:
    """A link, what it is said to be, and the process that it is in."""

    path: LinkPath
    link: WanLink
    process: LinkProcess

    def all(self) -> list[Finding]:
        return measure([self.path], self.process, SEED, "measurement-1", EFFORT)

    def loss(self) -> list[Finding]:
        return measure_loss([self.path], self.process, SEED, "measurement-1", EFFORT)


@contextmanager
def wan(said: Shape, down: Shape | None = None) -> Iterator[Measured]:
    """A link that is said to be ``said`` both ways, and down really is ``down``, if that is given."""
    with Network(tree(devices=1, up=said), run_id(), hosts="namespace") as network:
        (path, *_), (link, *_) = paths_of(network), network.links
        link.reshape(said, down or said)
        yield Measured(path, link, network.link_process)


@pytest.mark.root
def test_a_short_queue_of_a_fast_link_is_kept_full_or_said_not_to_be() -> None:
    with wan(Shape(100_000_000, queue_frames=10)) as measured:
        (finding,) = measure_rates([(measured.path, "up")], least_s=1.0)
    assert finding.ok or NOT_KEPT_FULL in finding.note
    assert finding.measured == pytest.approx(100_000_000, rel=0.15)


@pytest.mark.root
def test_a_slow_link_that_is_2_percent_slower_or_faster_is_noticed() -> None:
    for really_bps in (251_000, 261_000):
        with wan(Shape(256_000), down=Shape(really_bps)) as measured:
            findings = measure_rates([(measured.path, "up"), (measured.path, "down")], least_s=0.2)
        assert [finding.ok for finding in findings] == [True, False]
        assert findings[1].measured == pytest.approx(really_bps, rel=0.003)


@pytest.mark.root
def test_the_rate_of_a_link_is_its_own_whatever_becomes_of_frames_behind_it() -> None:
    rough = Shape(20_000_000, delay_ms=10, jitter_ms=5, loss=0.3, duplicate=0.2, reorder=0.2)
    with wan(rough) as measured:
        findings = measure_rates([(measured.path, "up"), (measured.path, "down")], least_s=0.2)
    assert [finding.measured for finding in findings] == [pytest.approx(20_000_000, rel=0.005)] * 2
    assert all(finding.ok for finding in findings)


@pytest.mark.root
def test_a_link_that_drops_its_delay_without_a_word_is_noticed() -> None:
    with wan(Shape(20_000_000, delay_ms=10), down=Shape(20_000_000)) as measured:
        findings = measure_times([measured.path], EFFORT)
    assert one(findings, "round trip", "both").ok is False
    assert one(findings, "one way", "down").ok is False
    assert one(findings, "one way", "up").ok is True


@pytest.mark.root
def test_a_link_that_is_cut_is_noticed_and_nothing_hangs() -> None:
    with wan(Shape(20_000_000)) as measured:
        measured.link.cut()
        findings = measured.all()
    assert one(findings, "round trip", "both").measured is None
    lost = one(findings, "loss", "up")
    assert (lost.measured, lost.ok) == (1, False)
    assert lost.note == "250 of 250 frames fared otherwise than the seed has it"


@pytest.mark.root
def test_a_link_is_quiet_only_when_nothing_is_on_its_way() -> None:
    with wan(Shape(None, delay_ms=700)) as measured:
        assert wait_until_quiet([measured.path])
        started_s = time.monotonic()
        findings = measure_loss([measured.path], measured.process, SEED, "late", EFFORT)
        assert time.monotonic() - started_s > 0.7
    assert failures(findings) == []


@pytest.mark.root
def test_when_it_is_measured_the_link_is_empty_and_nothing_follows() -> None:
    with wan(Shape(5_000_000)) as measured:
        path = measured.path
        measured.all()
        before = {direction: path.counters()[direction].frames for direction in DIRECTIONS}
        time.sleep(1.5)
        assert {direction: path.counters()[direction].frames for direction in DIRECTIONS} == before


@pytest.mark.root
def test_a_probe_of_an_idle_link_sees_little_else_than_the_link() -> None:
    with wan(Shape(20_000_000)) as measured:
        with ProbeWatch([measured.path], interval_s=0.02) as probe:
            time.sleep(1.5)
        (report,) = probe.reports
    assert report.sent >= 50
    assert report.answered == report.sent
    assert report.median_ms is not None
    assert report.median_ms < 1.5
    assert report.late_p99_ms is not None  # of 75 the worst, which a busy host decides


@pytest.mark.root
def test_a_probe_that_is_killed_says_that_it_broke_off() -> None:
    with wan(Shape(20_000_000)) as measured:
        with ProbeWatch([measured.path], interval_s=0.02) as probe:
            for entry in Path("/proc").glob("[0-9]*"):
                with suppress(OSError):
                    own = f"\nPPid:\t{os.getpid()}\n" in (entry / "status").read_text()
                    if own and PROBE_FILE.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                        os.kill(int(entry.name), signal.SIGKILL)
        (report,) = probe.reports
    assert report.ended_early
    verdict = judge(Evidence(probes={"recserve": [report]}))
    assert any("the probe broke off" in reason for reason in verdict.reasons["latency"])


@pytest.mark.root
def test_no_paths_are_no_probe() -> None:
    with ProbeWatch([]) as probe:
        pass
    assert probe.reports == []


@pytest.mark.root
def test_a_starved_machine_is_seen_and_its_latencies_are_not_believed() -> None:
    spinners = [sys.executable, "-I", "-S", "-c", "while True: pass"]
    with wan(Shape(20_000_000)) as measured:
        spinning = [subprocess.Popen(spinners) for _ in range(usable_cpus() + 2)]
        try:
            with ProbeWatch([measured.path], interval_s=0.02) as probe, CpuWatch(interval_s=0.05) as watch:
                time.sleep(1.5)
        finally:
            for process in spinning:
                process.kill()
                process.wait(timeout=10)
    assert watch.report.samples >= 5
    assert watch.report.contended > 0.7
    assert watch.report.busy > 0.8
    assert probe.reports[0].felt_max_ms is not None
    account = LinkAccount("recserve", "device1-edge1", "up", 9, 900, unaccounted_bytes=0)
    verdict = judge(Evidence(accounts=[account], cpu={"recserve": watch.report}))
    assert verdict.faithful["bytes"]
    assert not verdict.faithful["latency"]
    assert any("more was runnable" in reason for reason in verdict.reasons["latency"])


def test_an_idle_thread_is_not_contention() -> None:
    with CpuWatch(interval_s=0.02) as watch:
        time.sleep(0.5)
    assert watch.report.samples >= 5
    assert 0 <= watch.report.busy <= 1
    assert 0 <= watch.report.steal <= 1


@pytest.mark.root
def test_true_links_are_found_true(tmp_path: Path) -> None:
    delays = tmp_path / "delays"
    delays.write_text("8\n9\n12\n11\n10.5\n10\n")
    shapes = (
        Shape(20_000_000, delay_ms=10, jitter_ms=2, jitter_distribution="pareto"),
        Shape(20_000_000, delay_ms=30, jitter_ms=4, jitter_distribution="uniform"),
        Shape(5_000_000, delay_ms=5, loss=Bursts(0.02, 0.3).mean, bursts=Bursts(0.02, 0.3)),
        Shape(5_000_000, delay_ms=10.25, delay_file=str(delays)),
    )
    topology = tree(devices=3)
    links = tuple(replace(link, up=one, down=one) for link, one in zip(topology.links, shapes, strict=True))
    with Network(replace(topology, links=links), run_id(), hosts="namespace") as network:
        findings = measure(paths_of(network), network.link_process, SEED, "measurement-1", EFFORT)
    assert [str(finding) for finding in failures(findings)] == []
    assert {f.quantity for f in findings if f.direction == "up"} == {"rate", "one way", "jitter", "loss"}
    assert len({f.link for f in findings}) == 4


WRONG = {
    "device3-edge1": ("rate", {"rate_bps": 20_300_000}),
    "device11-edge1": ("one way", {"delay_ms": 12.5}),  # 1 ms, and what jitter may do to a median
    "device19-edge1": ("jitter", {"jitter_ms": 3.6}),
    "device26-edge1": ("loss", {"loss": 0.0065}),
    "device27-edge1": ("loss", {"loss": 0.0035}),
    "device38-edge1": ("duplicates", {"duplicate": 0.0015}),
}


@pytest.mark.root
def test_of_many_links_of_one_shape_those_with_one_other_figure_are_found_and_no_others() -> None:
    shape = Shape(20_000_000, delay_ms=10, jitter_ms=2, loss=0.005)
    with Network(tree(devices=40, up=shape), run_id(), hosts="namespace") as network:
        for link in network.links:
            if link.name in WRONG:
                _, figures = WRONG[link.name]
                link.reshape(shape, replace(shape, **figures))  # type: ignore[arg-type]
        findings = measure(paths_of(network), network.link_process, SEED, "measurement-1")
    found = {(f.link, f.quantity) for f in failures(findings) if f.direction == "down"}
    assert found == {(link, quantity) for link, (quantity, _) in WRONG.items()}
    assert {f.link for f in failures(findings)} == set(WRONG)


@pytest.mark.root
def test_serialisation_loss_and_duplication_of_a_slow_link_are_found() -> None:
    with wan(Shape(1_000_000, delay_ms=20, loss=0.05, duplicate=0.02)) as measured:
        findings = measured.all()
    assert [str(finding) for finding in failures(findings)] == []
    full = one(findings, "round trip of a full frame", "both")
    assert full.measured == pytest.approx(2 * (20 + 12.112), rel=0.02)


@pytest.mark.root
def test_times_of_frames_that_were_sent_ahead_are_left_out_of_delay_and_jitter() -> None:
    shaky = Shape(10_000_000, delay_ms=30, jitter_ms=2, reorder=0.2)
    with Network(tree(devices=1, up=shaky), run_id(), hosts="namespace") as network:
        findings = measure_times(paths_of(network)[:1], EFFORT)
    for direction in DIRECTIONS:
        delay, jitter = (one(findings, quantity, direction) for quantity in ("one way", "jitter"))
        assert 130 <= delay.samples <= 185  # of 200, a fifth of which was sent ahead
        assert jitter.measured is not None
        assert jitter.measured < 8  # with those that took no time it would be 12, on an idle host too


@pytest.mark.root
@pytest.mark.parametrize(
    ("quantity", "really"),
    [
        ("one way", Shape(10_000_000, delay_ms=12)),
        ("jitter", Shape(10_000_000, delay_ms=10, jitter_ms=3)),
        ("loss", Shape(10_000_000, delay_ms=10, loss=0.03)),
        ("rate", Shape(10_150_000, delay_ms=10)),
    ],
)
def test_each_way_of_being_wrong_is_noticed_in_its_direction(quantity: str, really: Shape) -> None:
    with wan(Shape(10_000_000, delay_ms=10), down=really) as measured:
        findings = measured.all()
    wrong = one(findings, quantity, "down")
    assert wrong.ok is False
    assert off(one(findings, quantity, "up")) < off(wrong) / 2  # on a busy host times are a little off too


@pytest.mark.root
def test_a_second_copy_passes_the_loss_once_more() -> None:
    with wan(Shape(None, delay_ms=5, loss=0.3, duplicate=0.3, queue_frames=5000)) as measured:
        findings = measured.loss()
    assert [str(finding) for finding in failures(findings)] == []
    assert 0.05 < (one(findings, "duplicates", "up").measured or 0) < 0.25  # 0.3 × 0.7²


@pytest.mark.root
def test_a_lossy_link_that_loses_nothing_or_a_little_less_is_noticed() -> None:
    for really in (0.0, 0.028):
        shape = Shape(10_000_000, delay_ms=5, loss=0.03)
        with wan(shape, down=replace(shape, loss=really)) as measured:
            findings = measured.loss()
        assert one(findings, "loss", "up").ok is True
        wrong = one(findings, "loss", "down")
        assert wrong.ok is False
        assert "frames fared otherwise than the seed has it" in wrong.note


@pytest.mark.root
def test_losses_of_another_seed_are_other_losses() -> None:
    with wan(Shape(10_000_000, loss=0.1)) as measured:
        mine = measure_loss([measured.path], measured.process, 1, "measurement-1", EFFORT)
        again = measure_loss([measured.path], measured.process, 1, "measurement-1", EFFORT)
        other = measure_loss([measured.path], measured.process, 1, "measurement-2", EFFORT)
    assert failures(mine + again + other) == []
    assert mine == again
    assert mine != other


@pytest.mark.root
def test_a_probe_sees_the_links_own_round_trip() -> None:
    with wan(Shape(20_000_000, delay_ms=25)) as measured:
        with ProbeWatch([measured.path], interval_s=0.05) as probe:
            time.sleep(2)
        (report,) = probe.reports
    assert report.answered == report.sent >= 30
    assert report.median_ms == pytest.approx(report.expected_ms, abs=1)
    assert report.expected_ms == pytest.approx(50.0784)
