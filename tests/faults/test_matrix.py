"""What counts as left, lost, untrue and unsaid, and how the page shows it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from testbed.scenario.scenario import load_scenario
from tests.faults.__main__ import seen_of
from tests.faults.document import document, holds
from tests.faults.matrix import CELLS, FAULTS, METHODS, PHASES, REQUESTS, Seen, cell_of, complaints
from tests.faults.soak import most_at_once
from tests.faults.test_faults import TRIED
from tests.faults.trial import SCENARIO

WHOLE = dict.fromkeys(METHODS, REQUESTS)
TRUE = dict.fromkeys(("bytes", "decisions", "quality", "latency"), True)
FINISHED = Seen(
    status=0,
    sentence="page: RUN/report.html",
    traceback=False,
    took_s=9.0,
    rows=WHOLE,
    manifest="finished",
    sealed=True,
    report=(0, ""),
    faithful=TRUE,
)
ENDED = replace(
    FINISHED,
    status=130,
    sentence="testbed: interrupted",
    rows={METHODS[0]: REQUESTS, METHODS[1]: 3},
    manifest="interrupted",
    report=(1, "testbed: RUN: the run ended early"),
    faithful=TRUE | {"quality": False, "latency": False},
    reasons=dict.fromkeys(("quality", "latency"), ("it was ended",)),
    commit="abc",
)
DOUBTED = replace(FINISHED, faithful=TRUE | {"latency": False}, reasons={"latency": ("cloud1 stood still",)})


def test_the_scenario_is_the_one_that_the_matrix_speaks_of() -> None:
    scenario = load_scenario(SCENARIO)
    assert tuple(method.name for method in scenario.methods) == METHODS
    assert scenario.trace.requests == REQUESTS
    assert len(CELLS) == 13 * 9


def test_the_subset_has_each_phase_and_each_fault() -> None:
    cells = [cell_of(name) for name in TRIED]
    assert {cell.phase for cell in cells} == set(PHASES)
    assert {cell.fault for cell in cells} == set(FAULTS)
    assert not any(cell.lacks_target for cell in cells)


def test_parts_of_a_run_have_their_time() -> None:
    lacking = {str(cell): cell.lacks_target for cell in CELLS if cell.lacks_target}
    assert len(lacking) == 28
    assert lacking["capture killed while measuring"] == "not yet"
    assert lacking["tier killed while sealing"] == "ended"
    assert "engine killed while sealing" not in lacking


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("SIGINT while replaying", ENDED),
        ("SIGINT while preparing", replace(ENDED, rows=None, manifest=None, sealed=None, report=None)),
        (
            "SIGKILL while loading",
            replace(ENDED, status=-9, left=("container",), sealed=False, manifest="running"),
        ),
        ("tier stands still while replaying", DOUBTED),
        ("capture stands still while replaying", FINISHED),
        ("tier stands still while loading", FINISHED),
    ],
)
def test_what_is_as_it_must_be_is_not_complained_about(name: str, seen: Seen) -> None:
    assert complaints(cell_of(name), seen) == []


@pytest.mark.parametrize(
    ("name", "seen", "complaint"),
    [
        ("SIGINT while replaying", replace(ENDED, left=("container x",)), "left: container x"),
        ("SIGKILL while replaying", replace(ENDED, status=-9, left_after_clean=("lock a",)), "left after"),
        (
            "SIGINT while replaying",
            replace(ENDED, rows={}),
            f"lost: {REQUESTS} of {REQUESTS} requests of rec",
        ),
        (
            "SIGINT while replaying",
            replace(ENDED, rows={METHODS[0]: REQUESTS}),
            "lost: 1 of 1 requests of cloud",
        ),
        ("SIGINT while accounting", ENDED, f"lost: {REQUESTS - 3} of {REQUESTS} requests of cloud-only"),
        ("SIGINT while replaying", replace(ENDED, sealed=False), "lost: the seal"),
        ("disk full while loading", replace(ENDED, status=1, manifest="running"), "lost: the manifest"),
        ("SIGINT while replaying", replace(ENDED, sealed=None), "lost: there is no run directory"),
        ("tier stands still while replaying", FINISHED, "untrue: latency may be believed"),
        ("capture killed while replaying", FINISHED, "untrue: bytes may be believed"),
        ("SIGINT while replaying", replace(ENDED, faithful=TRUE, reasons={}), "untrue: latency"),
        ("SIGINT while replaying", replace(ENDED, reasons={}), "untrue: quality is False with 0 reasons"),
        ("SIGINT while replaying", replace(ENDED, status=0), "unsaid: exit status 0 in place of 130"),
        ("SIGINT while replaying", replace(ENDED, traceback=True), "unsaid: it ended with a traceback"),
        ("SIGINT while replaying", replace(ENDED, sentence="Boom"), "unsaid: its last line is no sentence"),
        (
            "SIGTERM while replaying",
            replace(ENDED, status=143),
            "unsaid: its last line is not 'testbed: term",
        ),
        (
            "tier killed while loading",
            replace(ENDED, status=1),
            "unsaid: its last line does not name 'cloud1'",
        ),
        ("run stands still while replaying", DOUBTED, "untrue: no reason against lat"),
        ("SIGINT while replaying", replace(ENDED, report=(0, "")), "unsaid: `testbed report` on a run"),
        ("SIGINT while replaying", replace(ENDED, report=(1, "a.json")), "unsaid: `testbed report` does not"),
        ("SIGINT while replaying", replace(ENDED, report_traceback=True), "unsaid: `testbed report`"),
    ],
)
def test_what_is_not_is_complained_about(name: str, seen: Seen, complaint: str) -> None:
    assert any(told.startswith(complaint) for told in complaints(cell_of(name), seen))


def test_the_page_has_each_cell_and_says_what_does_not_hold() -> None:
    found = {cell: ENDED for cell in CELLS if cell.lacks_target is None}
    found[cell_of("SIGINT while replaying")] = replace(
        ENDED, left=("container tb1", "container tb2", "lock a")
    )
    page = document(found, "No slope.", host="a host", date="2026-01-01")
    grid = [row.split(" | ") for row in page.splitlines() if row.startswith("| SIGINT |")]
    assert grid[0][1:6] == ["holds"] * 5
    assert grid[0][6:] == ["**left**", "**lost**", "**lost** **untrue**", "**lost** **untrue** |"]
    assert "| SIGINT | 130 | 2 containers, 1 lock; after `clean` nothing |" in page
    assert "- SIGINT: left: container tb1, container tb2, lock a" in page
    assert "from 89 real runs on a host (2026-01-01, commit abc)" in " ".join(page.split())
    assert "| `kill -9` of the run, also by the kernel for want of memory | 130 | nothing |" in page
    assert page.endswith("## An hour of it\n\nNo slope.\n")
    assert not holds(found)


def test_what_was_seen_is_the_same_when_it_is_read_again() -> None:
    for seen in (FINISHED, ENDED, replace(ENDED, left=("a",), rows=None, report=None, sealed=None)):
        assert seen_of(json.loads(json.dumps(asdict(seen)))) == seen


@pytest.mark.parametrize(
    ("spans", "most"), [([], 0), ([(0, 2), (1, 3), (2, 4)], 2), ([(0, 9), (1, 2), (3, 4), (3.5, 5)], 3)]
)
def test_how_many_requests_were_outstanding_at_a_time(spans: list[tuple[float, float]], most: int) -> None:
    assert most_at_once(spans) == most
