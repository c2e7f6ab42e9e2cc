"""A cluster that is not there, or takes no points, is told at once; no sweep is begun."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.study.sweep.cluster import address_of, connected
from testbed.study.sweep.points import Wanted
from testbed.study.sweep.run import sweep
from tests import ROOT


@pytest.mark.parametrize(
    ("on", "address"),
    [("ray", "auto"), ("ray://10.0.0.1:6379", "10.0.0.1:6379"), ("ray://[fd00::2]:6379", "[fd00::2]:6379")],
)
def test_addresses(on: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert address_of(on) == address


@pytest.mark.parametrize(
    "on", ["", "spark", "ray://", "ray://host", "ray://host:x", "ray://:1", "ray://h:0", "h:1"]
)
def test_what_is_no_address_is_refused(on: str) -> None:
    with pytest.raises(TestbedError, match=r"--on: '.*' is no cluster; write ray, or ray://HOST:PORT"):
        address_of(on)


def test_rays_own_variable_is_taken_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert address_of("ray") == "10.0.0.1:6379"
    for wrong in ("local", "ray://10.0.0.1:10001", "http://10.0.0.1:8265"):
        monkeypatch.setenv("RAY_ADDRESS", wrong)
        with pytest.raises(TestbedError, match=r"RAY_ADDRESS: '.*' is no HOST:PORT of a cluster's head"):
            address_of("ray")


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(TestbedError, match=r"the package ray is missing; install llm-testbed\[ray\]"),
        connected("ray"),
    ):
        pass


def test_a_port_that_nobody_listens_at_is_told_at_once(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        wanted = Wanted(ROOT / "scenarios" / "smoke.yaml", ["links.core.loss=0%,1%"])
        with pytest.raises(TestbedError, match=rf"--on: nothing answers at {address} \(Connection refused\)"):
            sweep(wanted, tmp_path / "sweep", Reporter(), f"ray://{address}")
    assert not (tmp_path / "sweep").exists()
