"""Debian 12, of which image and translations are made, on a host that may be another Debian or Ubuntu."""

from __future__ import annotations

import platform
from pathlib import Path

from testbed.host.commands import printed_by

SUITE = "bookworm"
PUBLIC_MIRROR = "http://deb.debian.org/debian"
"""debootstrap's default, too; what comes from it is checked against the keyring."""
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
    """A sources.list for Debian 12: the host's Debian mirror, else the public one; security where known."""
    signed = f"[signed-by={KEYRING}]"
    (main,) = mirrors()[:1] or [PUBLIC_MIRROR]
    lines = [f"deb {signed} {main} {suite} main" for suite in (SUITE, f"{SUITE}-updates")]
    security = mirrors("Debian-Security")
    if not security and main == PUBLIC_MIRROR:
        security = [f"{PUBLIC_MIRROR}-security"]
    lines += [f"deb {signed} {uri} {SUITE}-security main" for uri in security]
    return "\n".join([*lines, ""])
