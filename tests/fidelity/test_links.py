"""Real links, measured: a true one is found true, and each way of being wrong is noticed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path as FilePath

import pytest

from testbed.evidence import Evidence, LinkAccount
from testbed.fidelity import judge
from testbed.host import usable_cpus
from testbed.measure import Finding, Path, failures, measure, paths_of
from testbed.measure.expected import binomial_interval
from testbed.measure.loss import POOLED, measure_loss
from testbed.measure.path import Effort
from testbed.measure.probe import __file__ as PROBE_FILE
from testbed.measure.rate import NOT_KEPT_FULL, measure_rates
from testbed.measure.times import measure_times
from testbed.network import Network
from testbed.topology import DIRECTIONS, Shape
from testbed.watch import CpuWatch, ProbeWatch
from tests.fidelity.wan import netem_link, token_bucket, wan
from tests.network.lab import run_id, tree

QUICK = Effort(rate_seconds=1.0, rate_budget_bps=130e6, timed_together=6, datagrams_per_s=1500)


def one(findings: list[Finding], quantity: str, direction: str) -> Finding:
    (found,) = [each for each in findings if (each.quantity, each.direction) == (quantity, direction)]
    return found


def off(finding: Finding) -> float:
    """How far a figure is from what was configured."""
    assert finding.measured is not None
    assert finding.configured is not None
    return abs(finding.measured - finding.configured)


@contextmanager
def buckets(up: Shape, down: Shape, up_bps: int, down_bps: int) -> Iterator[Path]:
    """A link that says ``up`` and ``down`` and has token buckets of ``up_bps`` and ``down_bps``."""
    with wan("device1-edge1", up, down, token_bucket("wa", up_bps) + token_bucket("wb", down_bps)) as path:
        yield path


@pytest.mark.root
def test_rates_are_measured_within_1_percent_up_to_100_megabit() -> None:
    for rate_bps in (2_000_000, 20_000_000, 100_000_000):
        shape = Shape(rate_bps)
        with buckets(shape, shape, rate_bps, rate_bps) as path:
            findings = measure_rates([(path, "up"), (path, "down")], least_s=2.0)
        assert [str(finding) for finding in failures(findings)] == []
        for finding in findings:
            assert finding.measured == pytest.approx(rate_bps, rel=0.01, abs=1514 * 8 / 2)


@pytest.mark.root
def test_a_short_queue_of_a_fast_link_is_kept_full_or_said_not_to_be() -> None:
    for rate_bps, queue_frames in ((100_000_000, 10), (500_000_000, 1)):
        shape = Shape(rate_bps, queue_frames=queue_frames)
        lines = [line for end in ("wa", "wb") for line in token_bucket(end, rate_bps, queue_frames, 3028)]
        with wan("device1-edge1", shape, shape, lines) as path:
            (finding,) = measure_rates([(path, "up")], least_s=1.0)
        assert finding.ok or finding.note == NOT_KEPT_FULL
        assert finding.ok is not None
        assert finding.measured == pytest.approx(rate_bps, rel=0.15) or queue_frames == 1


@pytest.mark.root
def test_a_link_of_another_rate_is_noticed_in_its_direction() -> None:
    shape = Shape(20_000_000)
    with buckets(shape, shape, 20_000_000, 17_000_000) as path:
        findings = measure([path], QUICK)
    assert one(findings, "rate", "up").ok
    wrong = one(findings, "rate", "down")
    assert wrong.ok is False
    assert wrong.measured == pytest.approx(17_000_000, rel=0.02)


@pytest.mark.root
def test_a_slow_link_that_is_3_percent_slower_is_noticed() -> None:
    shape = Shape(256_000)
    with buckets(shape, shape, 256_000, 248_000) as path:
        findings = measure_rates([(path, "up"), (path, "down")], least_s=1.0)
    assert [finding.ok for finding in findings] == [True, False]


@pytest.mark.root
def test_a_link_that_drops_its_delay_without_a_word_is_noticed() -> None:
    shape = Shape(20_000_000, delay_ms=10)
    with buckets(shape, shape, 20_000_000, 20_000_000) as path:
        findings = measure_times([path])
    assert one(findings, "round trip", "both").ok is False
    assert one(findings, "one way", "up").ok is False


@pytest.mark.root
def test_a_link_that_is_cut_is_noticed_and_nothing_hangs() -> None:
    shape = Shape(20_000_000)
    cut = ["qdisc replace dev wa root tbf rate 8bit burst 20 limit 20", *token_bucket("wb", 20_000_000)]
    with wan("device1-edge1", shape, shape, cut) as path:
        findings = measure([path], QUICK)
    assert one(findings, "round trip", "both").measured is None
    assert one(findings, "loss", "up").measured == 1
    assert one(findings, "rate", "up").ok is False


@pytest.mark.root
def test_when_it_is_measured_the_link_is_empty_and_nothing_follows() -> None:
    shape = Shape(5_000_000)
    with buckets(shape, shape, 5_000_000, 5_000_000) as path:
        measure([path], QUICK)
        before = {direction: path.counters()[direction].frames for direction in DIRECTIONS}
        time.sleep(1.5)
        assert {direction: path.counters()[direction].frames for direction in DIRECTIONS} == before


@pytest.mark.root
def test_a_probe_of_an_idle_link_sees_little_else_than_the_link() -> None:
    shape = Shape(20_000_000)
    with buckets(shape, shape, 20_000_000, 20_000_000) as path:
        with ProbeWatch([path], interval_s=0.02) as probe:
            time.sleep(1.5)
        (report,) = probe.reports
    assert report.sent >= 50
    assert report.answered == report.sent
    assert report.median_ms is not None
    assert report.median_ms < 1.5
    assert report.late_p99_ms is not None  # of 75 the worst, which a busy host decides


@pytest.mark.root
def test_a_probe_that_is_killed_says_that_it_broke_off() -> None:
    shape = Shape(20_000_000)
    with buckets(shape, shape, 20_000_000, 20_000_000) as path:
        with ProbeWatch([path], interval_s=0.02) as probe:
            for entry in FilePath("/proc").glob("[0-9]*"):
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
    shape = Shape(20_000_000)
    spinners = [sys.executable, "-I", "-S", "-c", "while True: pass"]
    with buckets(shape, shape, 20_000_000, 20_000_000) as path:
        spinning = [subprocess.Popen(spinners) for _ in range(usable_cpus() + 2)]
        try:
            with ProbeWatch([path], interval_s=0.02) as probe, CpuWatch(interval_s=0.05) as watch:
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
def test_true_links_are_found_true() -> None:
    access = Shape(20_000_000, delay_ms=10, jitter_ms=2)
    core = Shape(100_000_000, delay_ms=30, queue_frames=500)
    with (
        wan("device1-edge1", access, access, netem_link(access, access)) as first,
        wan("edge1-cloud1", core, core, netem_link(core, core)) as second,
    ):
        findings = measure([first, second])
    assert [str(finding) for finding in failures(findings)] == []
    assert one([f for f in findings if f.link == "edge1-cloud1"], "rate", "up").measured == pytest.approx(
        100e6, rel=0.01
    )
    quantities = {"rate", "one way", "jitter", "loss"}
    assert {f.quantity for f in findings if f.direction == "up"} == quantities


@pytest.mark.root
def test_serialisation_loss_and_duplication_of_a_slow_link_are_found() -> None:
    slow = Shape(1_000_000, delay_ms=20, loss=0.05, duplicate=0.02)
    with wan("device1-edge1", slow, slow, netem_link(slow, slow)) as path:
        findings = measure([path], QUICK)
    assert [str(finding) for finding in failures(findings)] == []
    full = one(findings, "round trip of a full frame", "both")
    assert full.measured == pytest.approx(2 * (20 + 12.112), rel=0.02)


@pytest.mark.root
def test_times_of_frames_that_were_sent_ahead_are_left_out_of_delay_and_jitter() -> None:
    shaky = Shape(10_000_000, delay_ms=30, jitter_ms=2, reorder=0.2)
    with Network(tree(devices=1, up=shaky), run_id(), hosts="namespace") as network:
        findings = measure_times(paths_of(network)[:1])
    for direction in DIRECTIONS:
        delay, jitter = (one(findings, quantity, direction) for quantity in ("one way", "jitter"))
        fewest, most = binomial_interval(200, 0.8)
        assert fewest <= delay.samples <= most
        assert jitter.measured is not None
        assert jitter.measured < 8  # with those that took no time it would be 12, on an idle host too


@pytest.mark.root
@pytest.mark.parametrize(
    ("quantity", "really"),
    [
        ("one way", Shape(10_000_000, delay_ms=12)),
        ("jitter", Shape(10_000_000, delay_ms=10, jitter_ms=3)),
        ("loss", Shape(10_000_000, delay_ms=10, loss=0.03)),
        ("rate", Shape(10_300_000, delay_ms=10)),
    ],
)
def test_each_way_of_being_wrong_is_noticed_in_its_direction(quantity: str, really: Shape) -> None:
    said = Shape(10_000_000, delay_ms=10)
    with wan("device1-edge1", said, said, netem_link(said, really)) as path:
        findings = measure([path], QUICK)
    wrong = one(findings, quantity, "down")
    assert wrong.ok is False
    assert off(one(findings, quantity, "up")) < off(wrong) / 2  # on a busy host times are a little off too


@pytest.mark.root
def test_a_second_copy_passes_the_loss_once_more() -> None:
    shape = Shape(None, delay_ms=5, loss=0.3, duplicate=0.3, queue_frames=5000)
    with wan("device1-edge1", shape, shape, netem_link(shape, shape)) as path:
        thorough = replace(QUICK, datagrams_per_s=4000)
        findings = [one for _ in range(4) for one in measure_loss([path], thorough)]
    for quantity, share in (("duplicates", 0.3 * 0.7**2), ("loss", 0.3 * 0.7)):
        own = [one for one in findings if one.quantity == quantity]
        assert [str(finding) for finding in failures(own)] == []
        counted = sum(round((one.measured or 0) * one.samples) for one in own)
        sent = sum(one.samples for one in own)
        low, high = binomial_interval(sent, share)
        assert low <= counted <= high


@pytest.mark.root
def test_a_lossy_link_that_loses_nothing_is_noticed() -> None:
    said, really = Shape(10_000_000, delay_ms=5, loss=0.02), Shape(10_000_000, delay_ms=5)
    with wan("device1-edge1", said, said, netem_link(really, said)) as path:
        findings = measure([path], QUICK)
    lossless = one(findings, "loss", "up")
    assert lossless.ok is False
    assert lossless.note == POOLED
    assert one(findings, "loss", "down").ok is True


@pytest.mark.root
def test_a_probe_sees_the_links_own_round_trip() -> None:
    shape = Shape(20_000_000, delay_ms=25)
    with wan("device1-edge1", shape, shape, netem_link(shape, shape)) as path:
        with ProbeWatch([path], interval_s=0.05) as probe:
            time.sleep(2)
        (report,) = probe.reports
    assert report.answered == report.sent >= 30
    assert report.median_ms == pytest.approx(report.expected_ms, abs=1)
    assert report.expected_ms == pytest.approx(50.0784)
