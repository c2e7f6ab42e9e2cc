"""New inputs of each kind, the same ones each time; ``tests.corpus.grow`` looks for others."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests import ROOT
from tests.corpus.grow import hunt, in_time, ways_in
from tests.corpus.growth import GROWTH
from tests.corpus.replay import HandIn

EXAMPLES = {"run": 8}
"""By kind; 20 of any other."""


@pytest.fixture(scope="module")
def way_in() -> Iterator[Callable[[str], HandIn]]:
    with ways_in() as ways:
        yield ways


@pytest.mark.parametrize("kind", GROWTH)
def test_each_is_taken_or_refused_in_one_sentence(kind: str, way_in: Callable[[str], HandIn]) -> None:
    hunt(kind, way_in(kind), EXAMPLES.get(kind, 20), derandomize=True)


def test_one_command_looks_for_more() -> None:
    """Other inputs each time, of which none ends as it should not."""
    asked = ("--examples", "50", "rate-file", "delay-file")
    done = subprocess.run(
        [sys.executable, "-m", "tests.corpus.grow", *asked],
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "rate-file: 50 inputs\ndelay-file: 50 inputs\n")


def test_what_takes_too_long_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.corpus.grow.CPU_S", 0.05)

    def for_ever() -> None:
        while True:
            pass

    with pytest.raises(TimeoutError), in_time():
        for_ever()
