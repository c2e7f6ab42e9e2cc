"""A real container's use is read by its id, without the engine's help."""

from __future__ import annotations

import time

import pytest

from testbed.errors import TestbedError
from testbed.host.cgroup import ContainerGroup
from testbed.host.engine import engine
from testbed.host.image import ensure_image

SPIN = "held = bytearray(40_000_000)\nwhile True: pass"


@pytest.mark.docker
def test_a_container_that_wants_more_than_its_quota_is_throttled_and_measured() -> None:
    client = engine()
    container = client.containers.run(
        ensure_image().tag,
        entrypoint=["python3", "-I", "-S", "-c", SPIN],
        detach=True,
        network_mode="none",
        cpu_period=100_000,
        cpu_quota=25_000,
    )
    try:
        group = ContainerGroup(str(container.id))
        while (before := group.usage()).anon_bytes in (None, 0) or before.anon_bytes < 40_000_000:
            time.sleep(0.1)
        time.sleep(3)
        usage = group.usage()
        used = usage.since(before)
        assert usage.anon_bytes is not None
        assert 40_000_000 < usage.anon_bytes < 120_000_000
        assert used.cpu_s == pytest.approx(0.75, abs=0.3)
        assert used.throttled_periods is not None
        assert used.throttled_periods >= 15
        assert used.throttled_s is not None
        assert used.throttled_s > 0
    finally:
        container.remove(force=True)
    with pytest.raises(TestbedError, match="has ended"):
        group.usage()
