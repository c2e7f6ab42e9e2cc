"""Mininet's classes, made importable under every Python that we support.

Mininet 2.3.0.dev6 imports ``distutils.version``, which Python 3.12 no longer has. It compares versions of
Open vSwitch with it, for a switch class that we do not use.
"""

from __future__ import annotations

import importlib.util
import sys
import types

if importlib.util.find_spec("distutils") is None:
    _version = types.ModuleType("distutils.version")
    _version.StrictVersion = str  # type: ignore[attr-defined]
    sys.modules.setdefault("distutils", types.ModuleType("distutils"))
    sys.modules.setdefault("distutils.version", _version)

from mininet.cli import CLI
from mininet.link import Intf, Link
from mininet.log import lg as log
from mininet.net import Mininet
from mininet.node import Host, Node, Switch
from mininet.topo import Topo

__all__ = ["CLI", "Host", "Intf", "Link", "Mininet", "Node", "Switch", "Topo", "log"]
