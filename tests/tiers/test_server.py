"""A node as a process of its own: starting, refusing to start, ending."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from testbed.host.processes.reporting import last_line
from tests import ROOT
from tests.tiers.nodes import (
    HOST,
    ask,
    call,
    free_port,
    health_status,
    is_ready,
    node_config,
    running,
    wait_until,
)
from tests.tiers.parents import parent
from tiers.config import parse_config
from tiers.errors import ConfigError
from tiers.protocol import decode_deadline, encode_deadline


@contextmanager
def process(
    configuration: dict[str, Any] | str | None, first: Sequence[str] = (), module: str = "tiers.server"
) -> Iterator[subprocess.Popen[str]]:
    environment = {key: value for key, value in os.environ.items() if key != "TESTBED_NODE"}
    if configuration is not None:
        text = configuration if isinstance(configuration, str) else json.dumps(configuration)
        environment["TESTBED_NODE"] = text
    command = [*first, sys.executable, "-m", module]
    started = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        yield started
    finally:
        started.kill()
        started.communicate(timeout=10)


def silent(_number: int, _connection: socket.socket) -> bool:
    time.sleep(30)
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_node_at_once_even_while_it_waits(number: signal.Signals) -> None:
    with parent(silent) as (above, seen):
        configuration = node_config("edge", above, port=free_port(), policy={"policy": "cloud-only"})
        with process(configuration) as node:
            wait_until(lambda: is_ready(configuration["port"]))
            asking = subprocess.Popen(
                [sys.executable, "-c", ASK, str(configuration["port"])], stderr=subprocess.DEVNULL
            )
            wait_until(lambda: len(seen.requests) == 1)
            started = time.monotonic()
            node.send_signal(number)
            assert node.wait(5) == 0
            assert time.monotonic() - started < 1
            asking.wait(10)


ASK = f"""
import sys
from http.client import HTTPConnection
body = '{{"messages": [{{"role": "user", "content": "x"}}]}}'
HTTPConnection("{HOST}", int(sys.argv[1]), timeout=10).request("POST", "/v1/chat/completions", body)
import time
time.sleep(2)
"""


def test_health_is_503_while_the_model_loads_and_requests_say_why(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import time\n"
        "from tiers.models.base import Model, Output\n"
        "class Slow(Model):\n"
        "    def __init__(self, config):\n"
        "        super().__init__(config)\n"
        "        time.sleep(1.5)\n"
        "    def infer(self, text):\n"
        "        return Output('positive', confidence=1.0)\n"
    )
    model = {"kind": "slow.py:Slow"}
    configuration = node_config("cloud", None, port=free_port(), model=model, plugins=[str(tmp_path)])
    with process(configuration):
        port = configuration["port"]
        wait_until(lambda: health_status(port) > 0)
        early = call(port, "GET", "/health")
        assert (early.status, early.json["error"]["type"]) == (503, "not_ready")
        assert ask(port, "x").status == 503
        assert call(port, "GET", "/control/status").json["ready"] is False
        wait_until(lambda: is_ready(port))
        assert ask(port, "x").text == "positive"


@pytest.mark.parametrize(
    ("configuration", "says"),
    [
        (None, "the environment has no TESTBED_NODE"),
        ("{", "TESTBED_NODE is not JSON"),
        ("[]", "must be a JSON object"),
        ({"model": {"kind": "magic"}}, "no model kind 'magic'"),
        ({"model": {"kind": "recorded"}}, "needs a path, a default"),
        ({"policy": {"policy": "recsrve"}}, "no policy 'recsrve'"),
        ({"batch": 8}, "model kind recorded answers one prompt at a time; leave batch out"),
    ],
)
def test_a_node_that_cannot_start_says_why_in_one_line(configuration: Any, says: str) -> None:
    if isinstance(configuration, dict):
        configuration = node_config("cloud", None, **configuration)
    with process(configuration) as node:
        _, said = node.communicate(timeout=30)
        assert node.returncode == 2
        assert said.startswith("tier cannot start: ")
        assert says in said
        assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("does", "status", "says"),
    [
        (
            "raise RuntimeError('the weights\\nare odd')",
            2,
            "tier cannot start: RuntimeError: the weights are odd",
        ),
        ("raise SystemExit(0)", 2, "tier cannot start: SystemExit: 0"),
        ("import os; os._exit(7)", 7, ""),
        ("import ctypes; ctypes.string_at(0)", 139, "Fatal Python error: Segmentation fault"),
        ("import os; os.kill(os.getpid(), 9)", 137, ""),
    ],
)
def test_a_model_that_ends_its_node_while_it_loads_has_a_status_and_last_words(
    tmp_path: Path, does: str, status: int, says: str
) -> None:
    """Under the supervisor too, whose status is a container's."""
    (tmp_path / "bad.py").write_text(
        "from tiers.models.base import Model\n\n\nclass Bad(Model):\n"
        f"    def __init__(self, config):\n        {does}\n\n"
        "    def infer(self, text):\n        pass\n"
    )
    configuration = node_config("cloud", None, model={"kind": "bad.py:Bad"}, plugins=[str(tmp_path)])
    for module, ended in (
        ("tiers.server", -(status - 128) if status > 128 else status),
        ("tiers.supervisor", status),
    ):
        with process(configuration, module=module) as node:
            _, said = node.communicate(timeout=30)
            assert node.returncode == ended
            assert last_line(said) == (says or "it said nothing")


def test_a_node_may_have_open_all_the_connections_that_the_system_grants() -> None:
    configuration = node_config("cloud", None, port=free_port())
    with process(configuration, ["prlimit", "--nofile=64:500"]) as node:
        wait_until(lambda: is_ready(configuration["port"]))
        assert resource.prlimit(node.pid, resource.RLIMIT_NOFILE) == (500, 500)


def test_a_port_in_use_is_one_line_too() -> None:
    with (
        running(node_config("cloud", None)) as first,
        process(node_config("cloud", None, port=first.port)) as node,
    ):
        _, said = node.communicate(timeout=30)
        assert (node.returncode, said.count("\n")) == (2, 1)
        assert "Address already in use" in said


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"prot": 1}, "no field prot"),
        ({"tier": "fog"}, "tier fog is not among tiers"),
        ({"parent": None}, "needs a parent"),
        ({"parent": "10.0.0.1:http"}, "parent must be host or host:port"),
        ({"port": -1}, "port must be a whole number"),
        ({"threads": "2"}, "threads must be a whole number"),
        ({"tiers": "device"}, "tiers must be list"),
        ({"batch": 0}, "batch must be a whole number from 1"),
        ({"batch_wait_s": -1}, "batch_wait_s must be seconds, 0 or more"),
        ({"requests": 200_001}, "requests must be a whole number from 1 to 200000"),
        ({"model": {}}, r"model\.kind is missing"),
    ],
)
def test_wrong_configurations_name_the_field(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_config({**node_config("device", free_port()), **changes})


def test_deadlines_are_of_one_length_and_never_negative() -> None:
    for remaining_s in (-1.0, 0.0, 0.25, 30.0, 1e9):
        text = encode_deadline(remaining_s)
        assert len(text) == 7
        assert decode_deadline(text) == pytest.approx(max(0, min(remaining_s, 9999.999)))
    for long, seconds in (("9" * 5000, 9999.999), ("0" * 5000 + "1500", 1.5), ("0", 0)):
        assert decode_deadline(long) == seconds
    for wrong in ("", "-1", "1.5", "²", "soon"):
        with pytest.raises(ValueError, match="whole milliseconds"):
            decode_deadline(wrong)


def test_status_says_what_the_node_runs_on() -> None:
    with running(node_config("cloud", None, threads=2)) as cloud:
        status = call(cloud.port, "GET", "/control/status").json
        assert (status["node"], status["tier"], status["threads"]) == ("cloud1", "cloud", 2)
        assert {"python", "flask", "waitress", "urllib3"} <= set(status["versions"])
        assert status["model"]["kind"] == "recorded"
        assert status["anon_bytes"] > 1e6
