"""Where frames of a path come from and go to, and where they can be seen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The path of a network namespace, and the IPv4 address in it at which neighbours reach it."""

    netns_path: str
    ip: str


@dataclass(frozen=True, slots=True)
class Wire:
    """The path of a network namespace, and the interface in it at which a tap sees a link's wire."""

    netns_path: str
    interface: str
