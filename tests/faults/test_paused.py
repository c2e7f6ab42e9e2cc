"""A tier that is paused from outside, for good: what is waited for is said, and the run ends soon."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path

import pytest

from testbed.network.leftovers import find_leftovers, remove_leftovers
from testbed.orchestrator.nodes.loopback import STILL_PATIENCE_S
from tests.faults.inject import tier, under_way, wait_for_phase
from tests.faults.matrix import TIER
from tests.faults.trial import SCENARIO

DEADLINE_S = 6.0
"""Of the requests."""
ELSE_S = 30.0
"""For links to come to rest, accounting, and removing what was made."""
FROZEN = "frozen by its control group, as docker pause does"


def paused(scratch: Path) -> tuple[int, float, str]:
    """A run whose tier is paused for good: its exit status, how long it went on, and what it said."""
    shorter = f"--set=replay.deadline={DEADLINE_S:g}s"
    try:
        with under_way(SCENARIO, scratch / "run", scratch / "log", shorter) as run:
            wait_for_phase(run, "replaying")
            began_s = time.monotonic()
            found = tier()
            assert found is not None
            found.pause()
            status = run.process.wait(DEADLINE_S + 3 * STILL_PATIENCE_S + ELSE_S)
            took_s = time.monotonic() - began_s
        assert not find_leftovers()
        return status, took_s, run.log.read_text()
    finally:
        remove_leftovers()


@pytest.mark.docker
@pytest.mark.timeout(240)
def test_a_tier_that_stays_paused_is_named_and_waited_for_once(tmp_path: Path) -> None:
    status, took_s, printed = paused(tmp_path)
    assert status == 1, printed
    assert took_s < DEADLINE_S + STILL_PATIENCE_S + ELSE_S
    assert f"{TIER} has stood still for 4 s by now, {FROZEN}" in printed
    assert f"{TIER} stands still, {FROZEN}: waiting for it to answer disconnect, for 10 s at most" in printed
    last = printed.strip().splitlines()[-1]
    said = rf"testbed: node {TIER} does not answer disconnect \(it has stood still for 10 s, {FROZEN}\)"
    assert re.match(said, last), printed
    fidelity = json.loads((tmp_path / "run" / "fidelity.json").read_text())
    for claim in ("latency", "quality"):
        assert not fidelity["faithful"][claim]
        assert any(TIER in reason for reason in fidelity["reasons"][claim]), fidelity["reasons"]
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path / "run", check=True)
