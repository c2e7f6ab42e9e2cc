"""Where the front door listens, and whom it lets in."""

from __future__ import annotations

import socket

import pytest

from testbed.errors import TestbedError
from testbed.orchestrator.serving.address import bind, url_of
from testbed.orchestrator.serving.guard import is_own_name


def test_a_free_port_is_taken_where_the_usual_one_is_not_free() -> None:
    first, _ = bind("127.0.0.1", None)  # 8000, or a free one
    with first:
        first.listen()
        second, notes = bind("127.0.0.1", None)
        with second:
            assert notes == ["port 8000 is taken, so a free one is used"]
            assert second.getsockname() != first.getsockname()


def test_a_port_that_was_asked_for_must_be_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(TestbedError, match=f"--port: 127.0.0.1 port {port} is taken; name another"):
            bind("127.0.0.1", port)


@pytest.mark.parametrize("host", ["nowhere.invalid", "", "a b", "192.0.2.1", "é" * 300])
def test_an_address_that_is_not_this_hosts_is_refused(host: str) -> None:
    with pytest.raises(TestbedError, match="--host: "):
        bind(host, None)


def test_others_being_able_to_ask_is_warned_of() -> None:
    listening, notes = bind("0.0.0.0", None)
    with listening:
        assert any("whoever reaches 0.0.0.0 can ask the tiers" in note for note in notes)


def test_the_address_is_written_as_clients_want_it() -> None:
    listening, notes = bind("::1", None)
    with listening:
        assert url_of(listening) == f"http://[::1]:{listening.getsockname()[1]}"
        assert not any("whoever" in note for note in notes)


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("127.0.0.1:8000", True),
        ("localhost", True),
        ("LOCALHOST:9", True),
        ("localhost.:8000", True),
        ("[::1]:8000", True),
        ("192.168.1.5:8000", True),
        ("lab-3:8000", True),
        ("evil.example:8000", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("notlocalhost", False),
        ("", False),
        ("[::1", False),
        ("user@evil.example", False),
    ],
)
def test_only_names_that_no_name_server_can_forge_are_its_own(host: str, is_own: bool) -> None:
    assert is_own_name(host, "lab-3") == is_own
