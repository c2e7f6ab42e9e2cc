"""``make bench``: 20 containers up and linked, and down again."""

from __future__ import annotations

import pytest

from tests.bench import network_bench


@pytest.mark.bench
@pytest.mark.docker
def test_twenty_containers_up_and_down() -> None:
    network_bench.main([])


@pytest.mark.bench
@pytest.mark.root
def test_twenty_namespaces_up_and_down() -> None:
    network_bench.main(["--namespaces"])
