"""Where frames of a path come from and go to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The path of a network namespace, and the IPv4 address in it at which neighbours reach it."""

    netns_path: str
    ip: str
