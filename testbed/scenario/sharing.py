"""Which runs may have one network, up from the first to the last: those for which the same things start."""

from __future__ import annotations

from collections.abc import Hashable

from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.methods import ExternalMethod

_CHANGED = {"name", "methods", "trace", "replay", "calibration", "captures", "links"}
"""Keys of a scenario whose values a network that is up takes; of ``links``, the figures."""


def network_key(scenario: Scenario) -> Hashable | None:
    """Equal for two scenarios that may share a network; ``None`` for one that shares it with no other.

    Links' figures, methods, trace, seed, replay and what becomes of captures may differ: links are reshaped,
    and nodes are told of a method when it begins. Whatever containers are started with must be the same,
    classes of methods that are in files of the user's included.

    A method that is calibrated wants nodes without CPU limits, which begin after it. A killed tier starts
    again with the longest round trips with which its container was started.
    """
    if any(method.calibration_needs for method in scenario.methods):
        return None
    if any(event.kind == "kill" for event in scenario.events):
        return None
    mounted = {method.policy for method in scenario.methods if isinstance(method, ExternalMethod)}
    started = scenario.model_dump_json(exclude=_CHANGED)
    return scenario.topology.unshaped, started, frozenset(mounted)
