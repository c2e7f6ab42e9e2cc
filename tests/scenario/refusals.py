"""How a scenario is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.scenario.scenario import load_scenario
from tests import QUICKSTART


def refusal(*overrides: str, path: Path = QUICKSTART) -> str:
    """The sentence with which a scenario is refused."""
    with pytest.raises(TestbedError) as caught:
        load_scenario(path, overrides)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence
