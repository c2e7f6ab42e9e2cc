"""Which package of a distribution installs a command."""

from __future__ import annotations

import re

from testbed.host.facts import distribution

_APT = {
    "ip": "iproute2", "mnexec": "mininet", "tcpdump": "tcpdump", "tshark": "tshark", "dockerd": "docker.io",
    "ping": "iputils-ping", "debootstrap": "debootstrap", "apparmor_parser": "apparmor",
}  # fmt: skip

_DNF = {
    "ip": "iproute", "mnexec": "mininet", "tcpdump": "tcpdump", "tshark": "wireshark-cli",
    "dockerd": "moby-engine", "ping": "iputils", "debootstrap": "debootstrap",
}  # fmt: skip


def package_mend(command: str) -> str:
    """How to install ``command`` on this distribution."""
    release = distribution()
    family = f"{release['id']} {release['like']}"
    if re.search(r"\b(debian|ubuntu)\b", family) and command in _APT:
        return f"apt-get install {_APT[command]}"
    if re.search(r"\b(fedora|rhel|centos)\b", family) and command in _DNF:
        return f"dnf install {_DNF[command]}"
    return f"install the package that holds {command} (Debian: {_APT.get(command, command)})"
