"""Network namespaces: entering one with a thread, a socket or a process, and its settings.

Each node has a namespace; switches and WAN links are in one namespace of the run, where neither the host's
firewall nor its settings touch them. Only the *network* namespace is entered: a lean image has no ``ip`` or
``bridge`` in its file system.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import socket
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from testbed.errors import TestbedError
from testbed.host.processes.proc import in_network_namespaces

NAMED = Path("/run/netns")
"""Where ip-netns(8) keeps namespaces that have a name."""

HERE = "/proc/thread-self/ns/net"
"""The namespace of the calling thread."""

COMMAND_TIMEOUT_S = 120.0
"""For one batch of commands; a busy host is slow to start processes."""

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def in_namespace(path: str) -> Iterator[None]:
    """Put the calling thread into the network namespace at ``path`` for the block (setns(2)).

    Sockets made and processes started inside belong to that namespace for good.

    Raises:
        TestbedError: there is no such namespace.
    """
    try:
        there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise TestbedError(f"network namespace {path} is gone ({error.strerror})") from error
    try:
        with _return():
            _setns(there)
            yield
    finally:
        os.close(there)


@contextlib.contextmanager
def in_new_namespace() -> Iterator[None]:
    """Put the calling thread into a new network namespace for the block (unshare(2))."""
    with _return():
        _check(_libc.unshare(_CLONE_NEWNET), "unshare")
        yield


@contextlib.contextmanager
def _return() -> Iterator[None]:
    """Put the calling thread back into its present network namespace after the block."""
    here = os.open(HERE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        try:
            _setns(here)
        finally:
            os.close(here)


def _setns(descriptor: int) -> None:
    _check(_libc.setns(descriptor, _CLONE_NEWNET), "setns")


def _check(result: int, call: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        if number == errno.EPERM:
            raise TestbedError("only root can use network namespaces; run as root or with sudo")
        raise OSError(number, f"{call}: {os.strerror(number)}")


def socket_in(
    path: str, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM, protocol: int = 0
) -> socket.socket:
    """A socket of the namespace at ``path``, usable from anywhere."""
    with in_namespace(path):
        return socket.socket(family, kind, protocol)


def Popen_in(path: str, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """``subprocess.Popen(argv, **options)`` in the network namespace at ``path``, all else as here."""
    with in_namespace(path):
        return subprocess.Popen(argv, **options)


def run_in(path: str, argv: Sequence[str], stdin: str = "") -> str:
    """Run a command in the namespace at ``path`` and return what it printed.

    Raises:
        TestbedError: the program is missing, failed or hung.
    """
    try:
        with in_namespace(path):
            done = subprocess.run(
                argv, input=stdin, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False
            )
    except FileNotFoundError as error:
        raise TestbedError(f"{argv[0]} is not installed; testbed/provision.sh installs it") from error
    except subprocess.TimeoutExpired as error:
        raise TestbedError(f"`{' '.join(argv)}` did not end in {COMMAND_TIMEOUT_S:.0f} s") from error
    if done.returncode != 0:
        raise TestbedError(f"`{' '.join(argv)}` failed: {_reason(done.stderr, stdin)}")
    return done.stdout


def batch(path: str, program: str, lines: Sequence[str]) -> None:
    """Run many commands of ``ip`` or ``bridge`` in one process, in the namespace at ``path``.

    Raises:
        TestbedError: a command was refused; the message quotes it and the kernel's answer.
    """
    if lines:
        run_in(path, [program, "-batch", "-"], stdin="".join(f"{line}\n" for line in lines))


def _reason(stderr: str, stdin: str) -> str:
    """What iproute2 printed, with the command in place of its "Command failed -:12"."""
    messages = [line for line in stderr.strip().splitlines() if line]
    lines = stdin.splitlines()
    failed = next((line for line in messages if line.startswith("Command failed -:")), None)
    if failed is None:
        return " ".join(messages[:3]) or "it said nothing"
    number = int(failed.rpartition(":")[2])
    others = " ".join(line for line in messages if line != failed)
    return f"{others} (at {lines[number - 1]!r})" if 0 < number <= len(lines) else others


def add_namespaces(names: Iterable[str]) -> None:
    """Make network namespaces that have a name (ip-netns(8)), with loopback up and IPv6 off."""
    names = list(names)
    batch(HERE, "ip", [f"netns add {name}" for name in names])
    for name in names:
        disable_ipv6(named(name))


def delete_namespaces(names: Iterable[str]) -> None:
    """Remove named namespaces that exist; the kernel takes their interfaces with them."""
    for name in names:
        path = NAMED / name
        with contextlib.suppress(FileNotFoundError):
            if _libc.umount2(os.fsencode(path), 2) != 0:  # MNT_DETACH
                number = ctypes.get_errno()
                if number not in (errno.EINVAL, errno.ENOENT):  # not mounted, gone
                    raise OSError(number, f"umount {path}: {os.strerror(number)}")
            path.unlink()


def named(name: str) -> str:
    """The path of a namespace that has a name."""
    return str(NAMED / name)


def kill_processes_in(*paths: str) -> None:
    """Kill what still runs in the namespaces at ``paths``; nothing of the host's, or of this process's."""
    for process in in_network_namespaces(paths):
        process.signal(signal.SIGKILL)


def disable_ipv6(path: str) -> None:
    """Switch IPv6 off in the namespace at ``path``, also for interfaces that are yet to come."""
    with in_namespace(path):
        _disable_ipv6(["all", "default"])


def _disable_ipv6(interfaces: Iterable[str]) -> None:
    for interface in interfaces:
        with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
            Path(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6").write_text("1")
