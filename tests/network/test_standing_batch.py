"""Commands for a process that stands by: carried out in their namespace, or refused in words."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from testbed.errors import TestbedError
from testbed.netns import add_namespaces, delete_namespaces, named, processes_in, run_in
from testbed.standing_batch import StandingBatch

pytestmark = pytest.mark.root
PATH = named(f"tbstand{os.getpid()}")


@pytest.fixture(autouse=True)
def namespace() -> Iterator[None]:
    add_namespaces([f"tbstand{os.getpid()}"])
    yield
    delete_namespaces([f"tbstand{os.getpid()}"])


def test_each_change_takes_effect_and_a_refused_one_is_told_and_is_not_the_last() -> None:
    standing = StandingBatch(PATH, "tc")
    try:
        standing.run(["qdisc replace dev lo root handle 1: pfifo limit 7"])
        assert "limit 7p" in run_in(PATH, ["tc", "qdisc", "show", "dev", "lo"])
        with pytest.raises(TestbedError, match=r"dev nowhere"):
            standing.run(["qdisc replace dev nowhere root pfifo"])
        standing.run(["qdisc replace dev lo root handle 1: pfifo limit 8"])
        assert "limit 8p" in run_in(PATH, ["tc", "qdisc", "show", "dev", "lo"])
        assert len(processes_in(PATH)) <= 1
    finally:
        standing.close()
    assert processes_in(PATH) == []
