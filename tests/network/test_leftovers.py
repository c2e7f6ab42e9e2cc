"""What a run leaves: nothing when it ends, by whatever cause; and after a kill, only what clean-up finds."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from testbed.errors import TestbedError
from testbed.network.container import ContainerSpec
from testbed.network.containers import RUN_LABEL
from testbed.network.kernel.netns import HERE, add_namespaces, delete_namespaces, run_in
from testbed.network.leftovers import find_leftovers, remove_leftovers
from testbed.network.network import Network
from testbed.scenario.topology import Topology
from tests import ROOT
from tests.network.lab import asleep, run_id, tree, up


@contextlib.contextmanager
def victim(run: str, image: str | None = None) -> Iterator[subprocess.Popen[str]]:
    """A run in a process of its own, which is ended afterwards if it has not been."""
    argv = [sys.executable, "-m", "tests.network.victim", run, *([image] if image else [])]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "starting\n"
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)
        remove_leftovers()


def wait_up(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n", process.communicate(timeout=30)


def traces(run: str, wait_s: float = 5) -> list[str]:
    """Everything on this machine that carries the run's name, looked for without the code under test."""
    prefix, deadline = f"tb{run}", time.monotonic() + wait_s
    while True:  # the kernel takes apart what a namespace held in its own time
        found = [line.split(":")[1].strip() for line in run_in(HERE, ["ip", "-o", "link"]).splitlines()]
        found = [name for name in found if name.startswith(prefix)]
        found += [path.name for path in Path("/run/netns").glob(f"{prefix}*")]
        found += [path.name for path in Path("/run/llm-testbed").glob(f"{run}*")]
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if prefix in path.read_text(errors="replace") and path.parent.name != str(os.getpid()):
                    found.append(path.read_text(errors="replace").replace("\0", " "))
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


@pytest.mark.root
def test_a_network_that_ends_leaves_nothing() -> None:
    with up(tree()) as network:
        network.add_probe(network.links[0].spec.up)
        network.net["device1"].cmd("sleep 600 &")
        assert traces(network.run_id, wait_s=0)
    assert traces(network.run_id) == []


@pytest.mark.root
def test_an_error_within_leaves_nothing_and_is_not_hidden() -> None:
    network = up(tree())
    with pytest.raises(ZeroDivisionError), network:
        print(1 / 0)
    assert traces(network.run_id) == []


@pytest.mark.root
def test_a_network_that_cannot_come_up_leaves_nothing_of_what_it_has_made() -> None:
    """The link process lives, and some nodes have a namespace, when one cannot be made."""
    topology, run = tree(), run_id()
    twice = Topology((*topology.nodes, topology.nodes[0]), topology.links)
    with pytest.raises(TestbedError, match="netns add"), Network(twice, run, hosts="namespace"):
        pass
    assert traces(run) == []


@pytest.mark.root
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing(number: signal.Signals) -> None:
    run = run_id()
    with victim(run) as process:
        wait_up(process)
        process.send_signal(number)
        process.communicate(timeout=30)
        assert process.returncode != 0
        assert traces(run) == []


def kill_and_clean(image: str | None = None) -> None:
    """Kill a run, have its leftovers found and removed, and see that nothing else went with them."""
    run, stranger = run_id(), "tbstranger"
    add_namespaces([stranger])
    bystander = subprocess.Popen(["ip", "netns", "exec", stranger, "sleep", "600"])
    try:
        with up(tree()) as living, victim(run, image=image) as process:
            wait_up(process)
            assert run not in {leftover.run_id for leftover in find_leftovers()}  # it lives
            process.kill()
            process.wait(timeout=30)
            found = [leftover for leftover in find_leftovers() if leftover.run_id == run]
            kinds = {leftover.kind for leftover in found}
            assert {"process", "namespace", "lock"} <= kinds
            assert ("container" in kinds) == (image is not None)
            assert {leftover.run_id for leftover in remove_leftovers()} == {run}
            assert traces(run) == []
            assert [leftover for leftover in find_leftovers() if leftover.run_id == run] == []
            assert living.net.ping([living.net["device1"], living.net["edge1"]]) == 0
        assert bystander.poll() is None
        assert Path(f"/run/netns/{stranger}").exists()
    finally:
        bystander.kill()
        bystander.wait(timeout=30)
        delete_namespaces([stranger])


@pytest.mark.root
def test_what_a_killed_run_left_is_removed_and_nothing_else() -> None:
    kill_and_clean()


@pytest.mark.docker
def test_containers_of_a_killed_run_are_removed(image: str) -> None:
    kill_and_clean(image)


@contextlib.contextmanager
def bystanders(run: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes in the host's network, in one of their own, and one that looks as a capture of the run."""
    waiting = "import time; time.sleep(600)"
    started = [
        subprocess.Popen(["sleep", "600"]),
        subprocess.Popen(["unshare", "--net", "sleep", "600"]),
        subprocess.Popen(["tcpdump", "-c", waiting, f"tb{run}w1"], executable=sys.executable),
    ]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait(timeout=30)


@pytest.mark.docker
@pytest.mark.parametrize("mode", ["host", "container"])
def test_processes_outside_a_labelled_containers_own_network_are_not_ended(
    image: str, engine: docker.DockerClient, mode: str
) -> None:
    """The container is in the host's network, or in that of another that belongs to no run."""
    run = run_id()
    asleep: dict[str, Any] = {"entrypoint": ["sleep"], "command": ["600"], "detach": True}
    with bystanders(run) as others:
        other = engine.containers.run(image, network_mode="none", **asleep)
        network = "host" if mode == "host" else f"container:{other.id}"
        try:
            engine.containers.run(image, network_mode=network, labels={RUN_LABEL: run}, **asleep)
            removed = {leftover.kind for leftover in remove_leftovers() if leftover.run_id == run}
            assert removed == {"container"}
            other.reload()
            assert other.status == "running"
            assert [process.poll() for process in others] == [None] * len(others)
        finally:
            other.remove(force=True)


@pytest.mark.docker
def test_a_label_that_is_no_runs_id_leads_to_nothing(
    image: str, engine: docker.DockerClient, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.lock"
    mine.touch()
    labels = {RUN_LABEL: f"../..{tmp_path}/mine"}
    container = engine.containers.create(image, network_mode="none", labels=labels)
    try:
        assert labels[RUN_LABEL] not in {leftover.run_id for leftover in remove_leftovers()}
        assert mine.exists()
    finally:
        container.remove(force=True)


@pytest.mark.root
def test_who_has_the_id_of_a_nodes_shell_that_has_ended_is_left_alone() -> None:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as stranger:
        with up(tree()) as network:
            node = network.net["device1"]
            node.cmd("true")
            node.shell.kill()
            node.shell.wait(timeout=30)
            node.shell.pid = stranger.pid  # it has come round
        with pytest.raises(subprocess.TimeoutExpired):
            stranger.wait(0.2)
        stranger.kill()


@pytest.mark.root
def test_the_next_run_of_that_name_takes_the_place_of_a_killed_one() -> None:
    run = run_id()
    with victim(run) as process:
        wait_up(process)
        process.kill()
        process.wait(timeout=30)
        with Network(tree(), run, hosts="namespace") as network:
            assert network.net.ping([network.net["device1"], network.net["edge1"]]) == 0
        assert traces(run) == []


@pytest.mark.root
def test_two_networks_of_one_name_at_a_time_are_refused() -> None:
    run = run_id()
    with victim(run) as process:
        wait_up(process)
        with (
            pytest.raises(TestbedError, match=f"another run .* in process {process.pid}"),
            Network(tree(), run, hosts="namespace"),
        ):
            pass


@pytest.mark.docker
@pytest.mark.parametrize("after_s", [0.0, 0.15, 0.3, 0.5, 0.8])
def test_an_interrupt_while_containers_start_leaves_none(
    image: str, engine: docker.DockerClient, after_s: float
) -> None:
    run = run_id()
    with victim(run, image=image) as process:
        time.sleep(after_s)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode != 0
        assert "KeyboardInterrupt" in said
        listed = engine.containers.list(all=True, filters={"label": f"llm-testbed.run={run}"})
        assert listed == []
        assert traces(run) == []


@pytest.mark.docker
def test_a_container_that_does_not_start_takes_all_the_others_with_it(
    image: str, engine: docker.DockerClient
) -> None:
    run = run_id()
    broken = ContainerSpec("edge1", command=["sh", "-c", "echo no model here >&2; exit 3"])
    specs = asleep(tree(), broken)
    with pytest.raises(TestbedError, match=r"edge1 .*\(exit status 3\).*no model here"):
        enter_and_ask(Network(tree(), run, image=image, containers=specs, client=engine))
    assert engine.containers.list(all=True, filters={"label": f"llm-testbed.run={run}"}) == []
    assert traces(run) == []


def enter_and_ask(network: Network) -> None:
    """Enter, and ask the edge how it is: it may end only after it was linked."""
    with network:
        time.sleep(1)
        network.node("edge1").require_running()
