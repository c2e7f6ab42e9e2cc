"""Tiers that are processes, without containers."""

from __future__ import annotations

import subprocess

import pytest

from testbed.errors import TestbedError
from testbed.host.processes.waiting import wait_until
from testbed.network.kernel.netns import HERE
from testbed.orchestrator.nodes.tier_process import TierProcess


@pytest.mark.root
def test_who_has_the_id_of_a_tier_that_has_ended_is_left_alone() -> None:
    tier = TierProcess("edge1", HERE, {"TESTBED_NODE": "none"})
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as stranger:
        wait_until(lambda: not tier.process.lives, 60, 0.05, or_raise="a tier without a configuration lives")
        with pytest.raises(TestbedError, match="the tier edge1 has ended: tier cannot start"):
            tier.require_running()
        tier._started.pid = stranger.pid  # it has come round
        tier.end()
        with pytest.raises(subprocess.TimeoutExpired):
            stranger.wait(0.2)
        stranger.kill()
