"""A topology that this host cannot run is refused with the reason."""

from __future__ import annotations

import os

import pytest

from testbed.host.kernel import FOR_NETWORKS, PARTS, Kernel
from testbed.network.feasibility import host_lacks
from tests.host.test_capabilities import ALONE


def test_without_namespaces_no_network_can_be_made() -> None:
    none = Kernel(frozenset(), dict.fromkeys(PARTS, "unshare: Operation not permitted"))
    assert "Operation not permitted" in host_lacks(ALONE, none)[0]


@pytest.mark.parametrize("part", FOR_NETWORKS)
def test_each_part_of_a_network_that_the_kernel_lacks_is_named_with_its_words(part: str) -> None:
    found = Kernel(frozenset(PARTS) - {part}, {part: "Unknown device type."})
    reason = host_lacks(ALONE, found)[0]
    assert reason == f"this kernel, or this user on it, cannot make a network ({part}: Unknown device type.)"


def test_a_kernel_with_all_parts_is_refused_for_want_of_root_alone() -> None:
    root = "only root can put a container on a network of ours; run as root or with sudo"
    assert host_lacks(ALONE, Kernel(frozenset(PARTS), {})) == ([] if os.geteuid() == 0 else [root])
