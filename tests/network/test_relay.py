"""The relay to an engine outside: as nobody, wherever the project is, to one address."""

from __future__ import annotations

import shutil
import socket
import threading
from pathlib import Path

import pytest

from testbed.host.processes import proc
from testbed.network import relay_process
from testbed.network.kernel.netns import HERE
from testbed.network.relay import Relay
from tests.tiers.nodes import free_port, wait_until

pytestmark = pytest.mark.root


def relays() -> list[int]:
    """The processes of relays of ours."""
    return [pid for pid in proc.process_ids() if relay_process.__file__ in proc.command_line(pid)]


def test_a_clone_that_root_alone_may_read_has_a_relay_as_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "root"
    home.mkdir(mode=0o700)
    monkeypatch.setattr(relay_process, "__file__", shutil.copy(relay_process.__file__, home))
    here = ("127.0.0.1", free_port())
    with socket.create_server(("127.0.0.1", 0)) as engine:
        echo = threading.Thread(target=answer, args=(engine,), daemon=True)
        echo.start()
        with Relay(HERE, here, engine.getsockname(), "cloud1"):
            with socket.create_connection(here, 10) as client:
                client.settimeout(10)
                client.sendall(b"prompt")
                client.shutdown(socket.SHUT_WR)
                assert client.recv(64) == b"answer to prompt"
            (pid,) = relays()
            status = Path(f"/proc/{pid}/status").read_text()
        echo.join()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split() == fields["Gid"].split() == ["65534"] * 4
    assert fields["Groups"].strip() == ""
    assert int(fields["CapPrm"], 16) == int(fields["CapEff"], 16) == int(fields["CapInh"], 16) == 0
    assert fields["NoNewPrivs"] == "1"
    assert relays() == []


def test_a_request_that_was_given_up_is_not_held_for_an_engine_that_never_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path(relay_process.__file__).read_text()
    hasty = tmp_path / "relay_process.py"
    hasty.write_text(source.replace(f"LEFT_S = {relay_process.LEFT_S}", "LEFT_S = 0.3"))
    monkeypatch.setattr(relay_process, "__file__", str(hasty))
    here = ("127.0.0.1", free_port())
    with (
        socket.create_server(("127.0.0.1", 0)) as engine,
        Relay(HERE, here, engine.getsockname(), "cloud1") as relay,
    ):
        engine.accept()[0].close()  # who looked whether somebody is there
        with socket.create_connection(here, 10) as client:
            client.sendall(b"prompt")
            asked, _ = engine.accept()
            held = sockets(relay.pid)
        with asked:
            asked.settimeout(10)
            assert asked.recv(64) == b"prompt"
            assert asked.recv(64) == b""  # no more is to come, and yet it does not answer
            wait_until(lambda: sockets(relay.pid) == held - 2, 10)


def sockets(pid: int) -> int:
    """How many a process has open."""
    return sum(str(entry.readlink()).startswith("socket:") for entry in Path(f"/proc/{pid}/fd").iterdir())


def answer(engine: socket.socket) -> None:
    """Answer the one who sends something; the other only sees whether somebody is there."""
    for _ in range(2):
        with engine.accept()[0] as connection:
            if asked := connection.recv(64):
                connection.sendall(b"answer to " + asked)
