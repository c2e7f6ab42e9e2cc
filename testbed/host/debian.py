"""Debian 12, of which image and translations are made, on a host that may be another Debian or Ubuntu."""

from __future__ import annotations

import platform
import re
from pathlib import Path

from testbed.errors import TestbedError
from testbed.host.commands import command_path, printed_by
from testbed.host.files import text_of

SUITE = "bookworm"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
"""Package debian-archive-keyring, which ``testbed/provision.sh`` installs."""
APT_TIMEOUT_S = 30.0


def mirrors(label: str = "Debian") -> list[str]:
    """The Debian mirror of the host's apt; empty on other systems, where debootstrap's default applies."""
    columns = "$(REPO_URI) $(ORIGIN) $(LABEL)"
    listed = printed_by(
        "apt-get", "indextargets", "--format", columns, "Created-By: Packages", timeout_s=APT_TIMEOUT_S
    )
    for line in listed.splitlines():
        uri, _, origin = line.partition(" ")
        if origin == f"Debian {label}" and uri.startswith(("http://", "https://", "file:")):
            return [uri]
    return []


def is_suite() -> bool:
    """Whether the host is Debian 12 itself, so that its apt has these packages."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return False
    return release.get("VERSION_CODENAME") == SUITE


def sources() -> str:
    """A sources.list for Debian 12: the host's Debian mirror, else debootstrap's; security where apt has it.

    Raises:
        TestbedError: there is neither.
    """
    signed = f"[signed-by={KEYRING}]"
    found = mirrors() or _usual_mirror()
    if not found:
        raise TestbedError(
            "no mirror of Debian is known here; add one to apt's sources, or install debootstrap"
        )
    lines = [f"deb {signed} {found[0]} {suite} main" for suite in (SUITE, f"{SUITE}-updates")]
    lines += [f"deb {signed} {uri} {SUITE}-security main" for uri in mirrors("Debian-Security")]
    return "\n".join([*lines, ""])


def _usual_mirror() -> list[str]:
    """What debootstrap takes where no mirror is named."""
    path = command_path("debootstrap")
    text = "" if path is None else text_of(Path(path))
    return re.findall(r'^DEF_MIRROR="(.+)"$', text, re.MULTILINE)[:1]
