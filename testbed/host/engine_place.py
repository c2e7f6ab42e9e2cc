"""Where the Docker engine is. It must be on this host, and its processes must be seen here by their ids.

A run enters its containers' network namespaces, which it finds by process ids that the engine tells. Those of
another machine, or of another pid namespace, are nobody's here, or somebody else's.
"""

from __future__ import annotations

import os
import platform
import socket
import struct
from pathlib import Path

import docker
from docker.context import ContextAPI

from testbed.errors import TestbedError
from testbed.host.processes.proc import PROC

SOCKET = Path("/run/docker.sock")
"""Of the engine that Docker's service, or dockerd without options, is."""
_UNIX = "unix://"
_ANSWER_TIMEOUT_S = 10.0


def engine_url() -> str:
    """The engine's socket by ``DOCKER_CONTEXT``, else ``DOCKER_HOST``, else the default.

    A context that ``docker context use`` has set is not followed: it is a user's, and runs are root's.

    Raises:
        TestbedError: the engine is reached by other ways than a socket of this host.
    """
    named = named_engine()
    if named is None:
        return f"{_UNIX}{SOCKET}"
    variable, url = named[0], named[1].removeprefix("http+")
    if not url.startswith(_UNIX):
        raise TestbedError(
            f"{variable} is no socket of this host, and a run enters the network namespaces of its "
            f"containers; unset {variable.partition('=')[0]}, or name the socket of an engine here "
            f"({_UNIX}{SOCKET})"
        )
    return f"{_UNIX}/{url.removeprefix(_UNIX).lstrip('/')}"


def named_engine() -> tuple[str, str] | None:
    """The variable that names an engine, with its value, and the engine's address; ``None`` if none does.

    As for Docker's own command, a context comes before a host.

    Raises:
        TestbedError: ``DOCKER_CONTEXT`` names none.
    """
    context = os.environ.get("DOCKER_CONTEXT", "")
    if context not in ("", "default"):
        variable = f"DOCKER_CONTEXT={context}"
        try:
            found = ContextAPI.get_context(context)
        except Exception as error:  # the SDK raises that very class for a file that is damaged
            raise TestbedError(f"{variable} cannot be read ({error}); unset DOCKER_CONTEXT") from error
        if found is None:
            raise TestbedError(f"{variable} is no context of this user; unset DOCKER_CONTEXT")
        return f"{variable} ({found.Host})", str(found.Host)
    if address := os.environ.get("DOCKER_HOST"):
        return f"DOCKER_HOST={address}", address
    return None


def require_here(client: docker.DockerClient, url: str) -> None:
    """Refuse an engine whose containers' processes cannot be found here by its process ids.

    Raises:
        TestbedError: it is in another pid namespace, in a virtual machine, on another host, or not Docker's.
    """
    if _in_other_pid_namespace(Path(url.removeprefix(_UNIX))):
        raise TestbedError(
            f"the Docker engine at {url} is in another pid namespace than this shell, where the processes of "
            "its containers cannot be found; run the testbed where the engine runs, in a container only with "
            "--pid=host"
        )
    told = client.version()
    kernel, product = str(told.get("KernelVersion")), str((told.get("Platform") or {}).get("Name"))
    if kernel != platform.release() or product.startswith("Docker Desktop"):
        raise TestbedError(
            f"the Docker engine at {url} runs in another machine than this shell (kernel {kernel}, here "
            f"{platform.release()}), where no network namespace of a container can be entered; use an engine "
            "of this host, such as Debian's docker.io"
        )
    if any("podman" in str(part.get("Name")).lower() for part in told.get("Components") or ()):
        raise TestbedError(
            f"the engine at {url} is Podman, whose containers have other control groups; use Docker's engine"
        )


def _in_other_pid_namespace(path: Path) -> bool:
    """Whether the process that listens at a socket has no id in our pid namespace, or has children elsewhere.

    False where the kernel does not tell, such as to an ordinary user: each container is looked at again.
    """
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_ANSWER_TIMEOUT_S)
        client.connect(str(path))
        credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, _, _ = struct.unpack("3i", credentials)  # unix(7); 0 for a process of another namespace
    if pid == 0:
        return True
    try:
        theirs, ours = ((PROC / str(one) / "ns" / "pid").stat().st_ino for one in (pid, os.getpid()))
    except OSError:
        return False
    return theirs != ours
