"""What is behind a node: llama.cpp in a container of its own, which the node alone reaches."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest

from testbed.errors import TestbedError
from testbed.host.ggufs import gguf_file
from testbed.host.processes.waiting import wait_until
from testbed.network.backend import Backend
from testbed.network.container import ContainerSpec
from testbed.network.network import Network
from testbed.orchestrator.nodes.control import NodeControl, wait_ready
from tests.network.lab import asleep, run_id, tree
from tiers.engine import ENGINE_VARIABLE

pytestmark = [pytest.mark.docker, pytest.mark.models]
INSIDE = "/engine/model.gguf"
NEAR, FAR, EDGE = "10.78.0.6", "10.78.0.7", "10.77.0.4"
ASK = f"""
import json, urllib.request
asked = {{"messages": [{{"role": "user", "content": "Say yes."}}], "max_tokens": 2, "logprobs": True,
         "temperature": 0}}
request = urllib.request.Request("http://{FAR}:8000/v1/chat/completions", json.dumps(asked).encode())
print(urllib.request.urlopen(request, timeout=60).read().decode())
"""


@contextmanager
def with_engine(image: str, engine: docker.DockerClient, gguf: Path) -> Iterator[Network]:
    spec = ContainerSpec(
        "cloud1",
        cpus=1,
        memory_bytes=512 << 20,
        env={ENGINE_VARIABLE: json.dumps({"gguf": INSIDE, "served_as": "small"})},
        mounts={str(gguf): INSIDE},
        pids_limit=64,
        command=["python3", "-m", "tiers.engine"],
    )
    nodes, behind = asleep(tree()), [Backend("cloud1", engine=spec)]
    with Network(tree(), run_id(), image=image, containers=nodes, backends=behind, client=engine) as network:
        yield network


def routes(netns_path: str) -> set[str]:
    command = ["nsenter", f"--net={netns_path}", "ip", "route"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {line.split()[0] for line in done.stdout.splitlines()}


def test_an_engine_serves_its_node_over_a_link_of_their_own(image: str, engine: docker.DockerClient) -> None:
    with with_engine(image, engine, gguf_file("smollm2-135m-instruct")) as network:
        (host,), (link,) = network.engines, network.backends
        wait_ready([NodeControl(host)], 60, lambda *_: None)
        before, wan_before = link.frames(), [wan.counters() for wan in network.links]
        code, output = network.node("cloud1").container.exec_run(["python3", "-c", ASK])
        assert code == 0, output
        assert isinstance(output, bytes)
        assert len(json.loads(output)["choices"][0]["logprobs"]["content"]) == 2
        assert link.frames() - before > 8
        assert [wan.counters() for wan in network.links] == wan_before

        assert routes(host.netns_path) == {NEAR}
        assert routes(network.node("cloud1").netns_path) == {EDGE, FAR}
        assert network.net["cloud1"].IP() == "10.77.0.5"
        code, output = network.node("edge1").container.exec_run(["python3", "-c", ASK])
        assert code != 0
        assert b"unreachable" in output

        status = Path(f"/proc/{host.pid}/status").read_text()
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert fields["Uid"].split() == ["65532"] * 4
        assert int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 0
        assert fields["NoNewPrivs"] == "1"
        code, _ = host.container.exec_run(["sh", "-c", f"echo x > /bin/x || echo x > {INSIDE}"])
        assert code != 0
        assert host.container.attrs["HostConfig"]["Memory"] == 512 << 20

        host.container.kill()
        assert wait_until(lambda: not host.lives, 10, 0.1)
        with pytest.raises(
            TestbedError, match=r"the engine of cloud1 has ended \(exit status 137, SIGKILL\)"
        ):
            host.require_running()


def test_a_file_that_is_no_model_is_told_by_its_engines_last_words(
    image: str, engine: docker.DockerClient, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF" + bytes(100))
    tmp_path.chmod(0o755)
    words = (
        r'the engine of cloud1 (has )?ended.*: "llama\.cpp cannot serve the GGUF file: .*failed to load model'
    )
    with (
        pytest.raises(TestbedError, match=words),
        with_engine(image, engine, bad) as network,
    ):
        wait_ready([NodeControl(host) for host in network.engines], 60, lambda *_: None)
