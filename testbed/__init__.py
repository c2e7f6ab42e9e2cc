"""Measure what recursive offloading between LLM tiers puts on the wire.

What is exported here is the interface for Python programs; docs/PYTHON.md describes it. Names are loaded when
they are first used, so that a command pays only for what it needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testbed.errors import TestbedError
    from testbed.orchestrator.launch import run
    from testbed.results.run import Run, load_run
    from testbed.scenario.scenario import Scenario, load_scenario

__all__ = ["Run", "Scenario", "TestbedError", "load_run", "load_scenario", "run"]

_HOMES = {
    "Run": "testbed.results.run",
    "Scenario": "testbed.scenario.scenario",
    "TestbedError": "testbed.errors",
    "load_run": "testbed.results.run",
    "load_scenario": "testbed.scenario.scenario",
    "run": "testbed.orchestrator.launch",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
