"""Containers as Mininet hosts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import docker
import pytest

from testbed.errors import TestbedError
from testbed.host.processes.waiting import wait_until
from testbed.network.container import ContainerSpec, TierHost
from testbed.network.containers import held_process
from testbed.network.kernel.netns import socket_in
from testbed.network.kernel.settings import HOST_SYSCTLS, namespace_settings
from testbed.network.network import Network
from testbed.orchestrator.bring_up import network_alive
from testbed.orchestrator.nodes.control import NodeControl, wait_ready
from tests import ROOT
from tests.network.lab import SLEEP, asleep, path, run_id, settle, tree

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def network(image: str, engine: docker.DockerClient) -> Iterator[Network]:
    spec = ContainerSpec(
        "device1",
        cpus=0.25,
        memory_bytes=64 << 20,
        env={"GREETING": "grüß dich"},
        mounts={"/etc/hostname": "/mounted"},
        pids_limit=20,
        command=SLEEP,
    )
    with Network(tree(), run_id(), image=image, containers=asleep(tree(), spec), client=engine) as network:
        yield network


def run(network: Network, node: str, *argv: str) -> str:
    code, output = network.node(node).container.exec_run(list(argv))
    assert code == 0, output
    assert isinstance(output, bytes)
    return output.decode()


def test_containers_reach_their_neighbours(network: Network) -> None:
    assert network.net.ping([network.node("device1"), network.node("edge1")]) == 0
    with path(network, "device1", "edge1") as way:
        way.burst(10)
        settle(lambda: len(way.receiver.arrivals))
        assert len(way.receiver.arrivals) == 10
    assert network.link("device1-edge1").counters()["up"].frames == 12


def test_a_shell_of_the_host_enters_the_network_namespace_alone(network: Network) -> None:
    node = network.node("device1")
    assert node.IP() in node.cmd("ip -brief address")  # a program that the image does not have
    assert str(Path("/proc/self/ns/mnt").readlink()) in node.cmd("readlink /proc/self/ns/mnt")
    assert str(Path(node.netns_path).readlink()) in node.cmd("readlink /proc/self/ns/net")
    assert node.popen("ip -brief address").communicate(timeout=10)[0].decode().count(node.IP()) == 1


def test_a_container_has_no_rights_and_nothing_to_write_on(network: Network) -> None:
    status = run(network, "device1", "cat", "/proc/self/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split() == ["65532"] * 4
    assert int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 0
    assert fields["NoNewPrivs"] == "1"
    code, _ = network.node("device1").container.exec_run(["sh", "-c", "echo x > /bin/x"])
    assert code != 0
    assert run(network, "device1", "sh", "-c", "echo x > /tmp/x && cat /tmp/x") == "x\n"
    code, _ = network.node("device1").container.exec_run(["sh", "-c", "echo x > /mounted"])
    assert code != 0


def test_a_container_is_as_its_spec_says(network: Network) -> None:
    settings = network.node("device1").container.attrs["HostConfig"]
    assert settings["NetworkMode"] == "none"
    assert settings["Memory"] == settings["MemorySwap"] == 64 << 20
    assert settings["PidsLimit"] == 20
    assert run(network, "device1", "sh", "-c", "echo $GREETING") == "grüß dich\n"


def test_the_quota_of_cpus_is_set_when_asked_for(network: Network) -> None:
    node = network.node("device1")
    assert node.container.attrs["HostConfig"]["CpuQuota"] == 0
    node.limit_cpus()
    node.container.reload()
    assert node.container.attrs["HostConfig"]["CpuQuota"] == 25_000


def test_a_process_that_the_engine_names_is_held_only_if_it_is_the_containers(network: Network) -> None:
    """The ids of an engine in another pid namespace, and of containers that have ended, are others' here."""
    container = network.node("device1").container
    own = container.attrs["State"]["Pid"]
    with subprocess.Popen(["unshare", "--net", "sleep", "600"]) as stranger:
        try:
            another = network.node("edge1").container.attrs["State"]["Pid"]
            for pid in (0, os.getpid(), 1, stranger.pid, another):
                container.attrs["State"]["Pid"] = pid
                assert held_process(container) is None
        finally:
            container.attrs["State"]["Pid"] = own
            stranger.kill()
    process = held_process(container)
    assert process is not None
    assert Path(process.network_namespace).readlink() == Path(network.node("device1").netns_path).readlink()
    process.close()


ONE_NODE = """
import json, sys, docker
from testbed.errors import TestbedError
from testbed.network.container import ContainerSpec, TierHost
from testbed.network.containers import Containers
from testbed.network.wiring import Wiring
from tests.network.lab import SLEEP, tree

run, image, mounts = sys.argv[1:]
with Containers(docker.DockerClient("unix:///run/docker.sock"), image, run, lambda _: None) as containers:
    node = tree().node("edge1")
    spec = ContainerSpec("edge1", command=SLEEP, mounts=json.loads(mounts))
    wiring = Wiring("/nowhere", "tb")
    try:
        options = {"containers": containers, "spec": spec, "neighbours": [], "wiring": wiring}
        TierHost("edge1", tier_node=node, **options).wait_ready()
        print("started")
    except TestbedError as error:
        print(error)
"""


def started(
    within: list[str], run: str, image: str, mounts: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What a node's container says when a program in other namespaces starts it."""
    command = [*within, sys.executable, "-c", ONE_NODE, run, image, json.dumps(mounts or {})]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_nothing_is_written_in_a_namespace_that_is_not_shown_to_be_the_containers(image: str) -> None:
    """A node in a pid namespace below the engine's, of an engine that was not asked where it is."""
    settings = namespace_settings("/proc/self/ns/net")
    run = run_id()
    unshare = ["unshare", "--pid", "--fork", "--mount-proc"]
    done = started(unshare, run, image)
    said = r"the container of edge1 runs, but process \d+, .*; use an engine that runs on this host and"
    assert re.match(said, done.stdout), (done.stdout, done.stderr)
    assert namespace_settings("/proc/self/ns/net") == settings


def test_a_file_that_the_engine_sees_otherwise_is_refused(image: str, tmp_path: Path) -> None:
    """A shell with a mount of its own: by the same name, the engine has another file."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "model").write_text("the engine's")
    private = 'mount -t tmpfs none "$0" && echo ours >"$0/model" && exec "$@"'
    within = ["unshare", "--mount", "--propagation=private", "sh", "-c", private, str(folder)]
    mounts = {str(folder / "model"): "/model"}
    done = started(within, run_id(), image, mounts)
    said = f"has mounted another {folder / 'model'} in the container of edge1 than this shell has"
    assert said in done.stdout, done.stderr
    assert started([], run_id(), image, mounts).stdout == "started\n"


def test_settings_that_change_what_tcp_sends_are_fixed_and_told(network: Network) -> None:
    told = namespace_settings(network.node("cloud1").netns_path)
    assert {name: told[name] for name in HOST_SYSCTLS} == dict(HOST_SYSCTLS)
    assert told["net.ipv6.conf.all.disable_ipv6"] == "1"
    assert json.loads(json.dumps(network.settings()))["namespace"] == told
    assert "congctl cubic" in network.node("cloud1").cmd("ip route")


GREEDY = """
import signal
signal.signal(signal.SIGUSR1, lambda *_: b"x" * (1 << 30))
print("x" * 200 + "\\n" * 1000)
print("I take \\x1b[31m all", flush=True)
while True: signal.pause()
"""
CRASH = """
import ctypes, signal
signal.signal(signal.SIGUSR1, lambda *_: ctypes.string_at(0))
while True: signal.pause()
"""


def ends_when_told(node: TierHost) -> bool:
    """Whether the node's process has ended, which is told to; it takes no signal before it waits for one."""
    with suppress(docker.errors.APIError):  # it has ended
        node.container.kill("SIGUSR1")
    return not node.lives


def test_a_container_that_ends_is_told_with_why_and_its_last_words_which_are_kept(
    image: str, engine: docker.DockerClient, tmp_path: Path
) -> None:
    greedy = ContainerSpec("edge1", memory_bytes=32 << 20, command=["python3", "-c", GREEDY])
    crash = ContainerSpec("device1", command=["python3", "-X", "faulthandler", "-c", CRASH])
    specs = asleep(tree(), greedy, crash)
    first, later = tmp_path / "first", tmp_path / "later"
    with Network(tree(), run_id(), image=image, containers=specs, client=engine, logs=first) as network:
        edge, device = network.node("edge1"), network.node("device1")
        assert wait_until(lambda: b"I take" in edge.container.logs(), 30, 0.05)
        with pytest.raises(TestbedError, match=r"edge1 .* after 0 s \(edge1 uses \d+ MiB of its 32 MiB\)"):
            wait_ready([NodeControl(edge)], 0, lambda *_: None)
        network.log_to(later)
        assert [path.name for path in first.iterdir()] == ["edge1.log"]
        for node in (edge, device):
            assert wait_until(partial(ends_when_told, node), 30, 0.05)
        with pytest.raises(TestbedError) as ended:
            edge.require_running()
        assert str(ended.value) == (
            "the container of edge1 has ended (exit status 137, out of memory: it has 32 MiB; give its tier "
            f'more); its last words: "I take  [31m all"; {later}/edge1.log has more'
        )
        assert network.why_ended(str(edge.container.id)) == str(ended.value)
        assert network.why_ended(str(network.node("cloud1").container.id)) == ""
        said = r"device1 has ended \(exit status 139, SIGSEGV\).*Fatal Python error: Segmentation fault"
        with pytest.raises(TestbedError, match=said), network_alive(network):
            socket_in(device.netns_path)  # which alone says that a namespace is gone
    assert sorted(path.name for path in later.iterdir()) == ["device1.log", "edge1.log"]
    assert (later / "edge1.log").read_bytes().endswith(b"I take \x1b[31m all\n")
    assert b"in string_at" in (later / "device1.log").read_bytes()


def test_an_image_that_is_not_there_is_said_so(engine: docker.DockerClient) -> None:
    with (
        pytest.raises(TestbedError, match="image no/such:image is not in this Docker engine"),
        Network(tree(), run_id(), image="no/such:image", client=engine),
    ):
        pass


def test_a_mount_that_is_not_there_is_said_so(image: str, engine: docker.DockerClient) -> None:
    spec = ContainerSpec("device1", mounts={"/no/such/model": "/model"})
    with (
        pytest.raises(TestbedError, match="/no/such/model, to be mounted in the container of device1"),
        Network(tree(), run_id(), image=image, containers=[spec], client=engine),
    ):
        pass


def test_an_engine_that_does_not_answer_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such/socket")
    with (
        pytest.raises(TestbedError, match="no Docker engine answers at DOCKER_HOST"),
        Network(tree(), run_id(), image="any"),
    ):
        pass


def test_a_name_that_is_taken_is_said_so_and_its_owner_left_alone(
    image: str, engine: docker.DockerClient
) -> None:
    run = run_id()
    owner = engine.containers.create(image, name=f"tb{run}-edge1", network_mode="none")
    try:
        with (
            pytest.raises(TestbedError, match=r"container of edge1 did not start: .*already in use"),
            Network(tree(), run, image=image, containers=asleep(tree()), client=engine),
        ):
            pass
        owner.reload()
        assert len(engine.containers.list(all=True, filters={"name": f"tb{run}"})) == 1
    finally:
        owner.remove(force=True)
