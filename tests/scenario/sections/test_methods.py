"""Methods that a scenario cannot have, each refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.scenario.scenario import load_scenario
from tests import QUICKSTART
from tests.scenario.refusals import refusal

SHARED = "methods=[{name: shared, policy: recserve, scope: tier}]"
LOCKSTEP = "replay={mode: lockstep}"


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ((SHARED,), "methods.shared.scope: tier is for lockstep and what-if: containers have no link"),
        (
            (SHARED, "replay={mode: closed, users: 2, think: 1s}"),
            "while requests overlap (mode: closed); write replay: {mode: lockstep}, or scope: node",
        ),
        (
            (SHARED, LOCKSTEP, "events=[{at: 1s, node: device1, do: kill, for: 1s}]"),
            "methods.shared.scope: a tier that an event may kill hears of no window; write scope: node",
        ),
        (
            (SHARED, LOCKSTEP, "events=[{at: 1s, node: cloud1, do: pause, for: 1s}]"),
            "methods.shared.scope: a tier that an event may pause",
        ),
        (("methods=[{name: recserve, scope: site}]",), "scope: must be 'node' or 'tier', not 'site'"),
    ],
)
def test_one_window_for_a_tier_is_for_lockstep_without_a_node_that_is_away(
    overrides: tuple[str, ...], says: str
) -> None:
    assert says in refusal(*overrides)


CURIOUS = """
from typing import ClassVar

class Curious:
    knows: ClassVar[tuple[str, ...]] = ("confidence", "reference")

class Modest:
    knows = {"prompt", "confidence"}

class Working:
    knows = tuple(dir())
"""


def test_a_policy_from_outside_that_asks_for_too_much_is_refused_without_running_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(CURIOUS)
    sentence = refusal(f"methods=[{{name: mine, policy: '{path}:Curious'}}]")
    assert (
        f"{path}:Curious asks to know reference, and a policy may know confidence, request_id, " in sentence
    )
    assert sentence.endswith("take it out of knows")
    for modest in ("Modest", "Working", "Nowhere"):  # a node that makes the last two will say what is wrong
        load_scenario(QUICKSTART, [f"methods=[{{name: mine, policy: '{path}:{modest}'}}]"])
    path.write_text("no Python")
    load_scenario(QUICKSTART, [f"methods=[{{name: mine, policy: '{path}:Curious'}}]"])
