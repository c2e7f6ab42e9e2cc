"""One fault for each phase, and each fault once, on real runs; ``make faults`` tries all in all phases."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.host.engine import engine
from tests.faults.inject import own_engine
from tests.faults.matrix import cell_of, complaints
from tests.faults.trial import SCENARIO, try_cell

TRIED = (
    "SIGINT while preparing",
    "engine killed while starting",
    "tier killed while loading",
    "SIGKILL while warming",
    "link process killed while measuring",
    "capture killed while replaying",
    "disk full while replaying",
    "run stands still while replaying",
    "link process stands still while replaying",
    "capture stands still while replaying",
    "tier stands still while replaying",
    "SIGTERM while accounting",
    "SIGHUP while judging",
    "SIGINT while sealing",
)


@pytest.fixture
def quicker(tmp_path: Path) -> Path:
    """The matrix's scenario on a link without a rate, so that none is measured: 4 s less of a whole run."""
    text = SCENARIO.read_text()
    assert "rate: 20mbit, " in text
    written = tmp_path / "quicker.yaml"
    written.write_text(text.replace("rate: 20mbit, ", ""))
    return written


def cells_but(word: str) -> list[str]:
    return [name for name in TRIED if word not in name]


@pytest.mark.docker
@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", cells_but("engine"))
def test_a_fault_leaves_nothing_loses_nothing_and_what_is_said_is_true(
    tmp_path: Path, quicker: Path, name: str
) -> None:
    cell = cell_of(name)
    seen = try_cell(cell, tmp_path, quicker)
    assert complaints(cell, seen) == [], seen


@pytest.mark.docker
@pytest.mark.alone
@pytest.mark.timeout(240)
def test_a_dead_engine_is_one_sentence_and_clean_removes_what_is_left(tmp_path: Path, quicker: Path) -> None:
    (name,) = set(TRIED) - set(cells_but("engine"))
    engine()
    if own_engine() is None:
        pytest.skip("this Docker engine is not the testbed's own, and so not to be killed")
    seen = try_cell(cell_of(name), tmp_path, quicker)
    assert complaints(cell_of(name), seen) == [], seen
