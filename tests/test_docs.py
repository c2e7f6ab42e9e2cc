"""What the documents show is what the code does."""

from __future__ import annotations

import re

from testbed.network.link_process.fates import Fates, Way, WayFigures
from tests import ROOT

DOCS = ROOT / "docs"


def test_the_example_says_which_frames_a_link_loses() -> None:
    (example,) = re.findall(r"```python\n(from random.*?)```", (DOCS / "LINK.md").read_text(), re.DOTALL)
    told: dict[str, object] = {"print": lambda *_words: None}
    exec(example, told)
    fates = Fates(told["seed"], str(told["method"]), str(told["link"]), str(told["direction"]))
    way = Way(WayFigures(loss=0.10), fates)
    assert told["lost"] == [i for i in range(20) if not way.enter(i)]
    assert told["lost"]
