"""What counts as left, lost, untrue and unsaid, and how the page shows it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from testbed.scenario.scenario import load_scenario
from tests.faults.__main__ import DOCUMENT, seen_of
from tests.faults.document import document, holds
from tests.faults.matrix import CELLS, FAULTS, METHODS, PHASES, REQUESTS, Seen, cell_of, complaints, place
from tests.faults.soak import Sample, grown, most_at_once
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
DOUBTED = replace(
    FINISHED,
    faithful=TRUE | {"latency": False},
    reasons={"latency": ("cloud-only: cloud1 stood still for 5.0 s from 0.4 s on, stopped by a signal",)},
)
BUSY = replace(
    DOUBTED,
    reasons={
        "latency": (
            "cloud-only: requests were sent late, p99 16.8 ms and 31.2 ms at most, with 10 ms allowed at p99",
            "cloud-only: cloud1 waited 626.00 s for a CPU that its limit of 0.4 allowed",
        )
    },
)
"""A run on a host with other work."""
LATE = replace(
    DOUBTED,
    reasons={
        "latency": (
            "cloud-only: requests were sent late, p99 4716.8 ms and 4831.2 ms at most, with 10 ms allowed",
            "cloud-only: the link process was late: frames were put on the wire 4800.10 ms late at p99 and "
            "4812.33 ms at most, with 1 ms allowed at p99",
        )
    },
)
NOTHING = replace(
    ENDED,
    rows=dict.fromkeys(METHODS, 0),
    faithful=dict.fromkeys(TRUE, False),
    reasons=dict.fromkeys(TRUE, ("no method was replayed",)),
)


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
        (
            "SIGINT while preparing",
            replace(NOTHING, rows=None, manifest=None, sealed=None, report=None, faithful={}, reasons={}),
        ),
        (
            "SIGKILL while loading",
            replace(ENDED, status=-9, left=("container",), sealed=False, manifest="running"),
        ),
        ("tier stands still while replaying", DOUBTED),
        ("capture stands still while replaying", FINISHED),
        ("tier stands still while loading", FINISHED),
        ("run stands still while replaying", LATE),
        ("link process stands still while replaying", LATE),
        ("SIGINT while loading", NOTHING),
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
        ("run stands still while replaying", BUSY, "untrue: no reason against lat"),
        ("link process stands still while replaying", BUSY, "untrue: no reason against lat"),
        ("tier stands still while replaying", BUSY, "untrue: no reason against lat"),
        (
            "SIGINT while loading",
            replace(NOTHING, faithful=TRUE | {"latency": False}, reasons={"latency": ("it was ended",)}),
            "untrue: bytes may be believed, it says, although nothing was replayed",
        ),
        (
            "disk full while accounting",
            replace(
                ENDED, status=1, faithful=dict.fromkeys(TRUE, False), reasons=dict.fromkeys(TRUE, ("x",))
            ),
            "untrue: decisions may not be believed",
        ),
        ("disk full while accounting", replace(ENDED, status=1), f"lost: {REQUESTS - 3} of"),
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


def test_the_page_that_is_kept_has_all_cells_and_all_hold() -> None:
    grid = DOCUMENT.read_text().partition("## All faults in all phases")[2].partition("\n## ")[0]
    rows = {
        row.split(" | ")[0].removeprefix("| "): row.rstrip(" |").split(" | ")[1:] for row in grid.splitlines()
    }
    for cell in CELLS:
        assert rows[cell.fault.name][place(cell.phase)] == (cell.lacks_target or "holds"), cell


def test_what_was_seen_is_the_same_when_it_is_read_again() -> None:
    for seen in (FINISHED, ENDED, replace(ENDED, left=("a",), rows=None, report=None, sealed=None)):
        assert seen_of(json.loads(json.dumps(asdict(seen)))) == seen


@pytest.mark.parametrize(
    ("spans", "most"), [([], 0), ([(0, 2), (1, 3), (2, 4)], 2), ([(0, 9), (1, 2), (3, 4), (3.5, 5)], 3)]
)
def test_how_many_requests_were_outstanding_at_a_time(spans: list[tuple[float, float]], most: int) -> None:
    assert most_at_once(spans) == most


def _samples(bytes_a_request: float, rate: float = 20.0, descriptors: float = 30.0) -> list[Sample]:
    """An hour's, every 10 s."""
    return [
        Sample(
            at_s, 50_000_000 + round(bytes_a_request * rate * at_s), round(descriptors * (1 + at_s / 3600))
        )
        for at_s in range(0, 3600, 10)
    ]


@pytest.mark.parametrize(
    ("name", "samples", "complaint"),
    [
        ("link process", _samples(0, descriptors=0), None),
        ("orchestrator", _samples(1600, descriptors=0), None),
        ("orchestrator", _samples(3000, descriptors=0), "orchestrator grew by 3000 B a request"),
        ("link process", _samples(200, descriptors=0), "link process grew by 200 B a request"),
        ("tier device1", _samples(900, descriptors=30), None),
        ("tier device1", _samples(900, descriptors=300), "tier device1 had 270 more descriptors at the end"),
    ],
)
def test_a_process_that_grows_by_more_than_what_it_is_to_keep_is_told(
    name: str, samples: list[Sample], complaint: str | None
) -> None:
    told = list(grown({name: samples}, rate=20.0, outstanding=40))
    assert [one.partition(",")[0] for one in told] == ([complaint] if complaint else [])
