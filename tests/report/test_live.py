"""The view of a run that goes on, on a real terminal: drawn anew, and nothing of it left."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.console import Glance, LinkGlance
from testbed.report.live import lines_of
from tests.report.terminal import AS_OURS, Screen, Terminal, on_terminal, resize

PROGRAM = """
import sys, time, warnings
from rich.console import Console
from testbed.console import Glance, LinkGlance, Reporter
from testbed.host.processes.program import program
from testbed.report.live import Live, suits

number = 0

def look():
    global number
    number += 1
    links = [LinkGlance("device1-edge1", 1500 * number, 700, number, 0)]
    served = {"device": number, "edge": 1, "cloud": 0}
    return Glance(100, number + 2, number + 1, served, 0, {"edge1": 0.25}, 0.5, 1.5, links, 1, 30.0, 90.0)

console = Console(stderr=True, highlight=False)
reporter = Live(console, every_s=0.02) if suits(console) else Reporter(console)
with program("testbed"):
    reporter.say("before it")
    with reporter.counting("recserve: replaying 100 requests", 100) as count, reporter.watching(look):
        for step in range(30):
            time.sleep(0.02)
            count(step, 100)
            if step == 10:
                reporter.say("a warning on the way")
            if step == 15:
                warnings.warn("of some library", stacklevel=1)
            if step == 20:
                print("half a line, ", end="", file=sys.stderr)
                print("and the rest", file=sys.stderr)
        print("half a line at the end", end="", file=sys.stderr)
    reporter.say("after it")
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    path = tmp_path_factory.mktemp("live") / "program.py"
    path.write_text(PROGRAM)
    return [sys.executable, str(path)]


def said(ran: Terminal) -> list[str]:
    """The lines that stay, without their times."""
    return [re.sub(r"^ *[\d.]+ s  ", "", line) for line in ran.screen.text.splitlines()]


def views_of(screen: Screen, into: list[str]) -> None:
    if "answered by" in screen.text:
        into.append(screen.text)


LINES = [
    "before it", "a warning on the way", "half a line, and the rest", "half a line at the end", "after it",
]  # fmt: skip


def check_what_stays(ran: Terminal) -> None:
    lines = said(ran)
    assert [line for line in lines if line in LINES] == LINES
    assert "UserWarning: of some library" in "".join(ran.screen.lines)  # wrapped, if its path is long
    assert not re.search("answered by|left|waiting|█|░", ran.screen.text)


def test_it_is_drawn_anew_and_what_is_said_meanwhile_stays_above(program: list[str]) -> None:
    views: list[str] = []
    ran = on_terminal(program, meanwhile=lambda screen, _: views_of(screen, views))
    assert ran.status == 0
    check_what_stays(ran)
    view = views[-1]
    for words in (
        "of 100, 30 s left; the run 1 min 30 s left",
        "edge 1   cloud 0",
        "1 outstanding   0 errors",
        "0.5 ms on average   1.5 at most",
        "thresholds  edge1 0.250",
        "device1-edge1",
    ):
        assert words in view
    assert view.count("answered by") == 1
    assert any(
        re.fullmatch(r"recserve: .* requests; the live view took \d+ ms of CPU", line) for line in said(ran)
    )


def test_ctrl_c_takes_the_view_away_and_leaves_a_cursor_at_a_lines_begin(program: list[str]) -> None:
    pressed: list[int] = []

    def interrupt(screen: Screen, terminal: int) -> None:
        if "answered by" in screen.text and "a warning on the way" in screen.text and not pressed:
            pressed.append(os.write(terminal, b"\x03"))

    ran = on_terminal(program, meanwhile=interrupt)
    assert ran.status == 130
    assert said(ran)[:2] == ["before it", "a warning on the way"]
    assert said(ran)[-1] == "testbed: interrupted"
    assert "answered by" not in ran.screen.text
    assert ran.screen.column == 0
    assert "\x1b[?" not in ran.written  # the cursor was never hidden, nor any other mode changed


@pytest.mark.parametrize(("columns", "rows"), [(40, 6), (20, 3), (200, 60)])
def test_it_has_no_more_lines_and_columns_than_the_terminal(
    program: list[str], columns: int, rows: int
) -> None:
    heights: set[int] = set()

    def measure(screen: Screen, _: int) -> None:
        lines = screen.text.splitlines()
        drawn = next((at for at, line in enumerate(lines) if re.search("[█░]", line)), None)
        if drawn is not None:
            heights.add(len(lines) - drawn + 1)
            assert max(map(len, lines[drawn:])) < columns

    ran = on_terminal(program, columns, rows, meanwhile=measure)
    assert max(heights) <= rows - 1
    assert ran.status == 0
    if columns >= 40:  # else lines that are said wrap
        check_what_stays(ran)


@pytest.mark.parametrize(("columns", "rows"), [(15, 24), (80, 2), (0, 0)])
def test_a_terminal_without_room_for_it_has_lines_alone(program: list[str], columns: int, rows: int) -> None:
    ran = on_terminal(program, columns, rows)
    assert ran.status == 0
    assert "\x1b[J" not in ran.written
    assert "answered by" not in ran.written


def test_a_terminal_that_becomes_smaller_loses_no_line(program: list[str]) -> None:
    sizes = iter([(70, 20), (50, 8), (90, 30)])

    def change(screen: Screen, terminal: int) -> None:
        if screen.text.count("answered by") and (size := next(sizes, None)):
            resize(terminal, *size)

    ran = on_terminal(program, meanwhile=change)
    assert ran.status == 0
    check_what_stays(ran)


def test_colours_are_left_out_on_request(program: list[str]) -> None:
    coloured, plain = (on_terminal(program, environment=extra) for extra in ({}, {"NO_COLOR": "1"}))
    assert "\x1b[1m" in coloured.written
    assert "\x1b[1m" not in plain.written
    assert not re.search(r"\x1b\[[\d;]*[349]\d", plain.written)
    check_what_stays(plain)


def test_a_dumb_terminal_gets_plain_lines(program: list[str]) -> None:
    ran = on_terminal(program, environment={"TERM": "dumb"})
    assert "\x1b[" not in re.sub(r"\x1b\[\d*m", "", ran.written)
    assert "answered by" not in ran.written
    assert said(ran)[0] == "before it"
    assert "recserve: replaying 100 requests" in said(ran)


def test_a_terminal_without_utf_8_gets_a_bar_in_ascii(program: list[str]) -> None:
    ran = on_terminal(program, environment={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    assert ran.status == 0
    assert "#-" in ran.written
    assert ran.written.isascii()


@pytest.mark.parametrize("forced", [{}, {"FORCE_COLOR": "1"}])
def test_what_is_no_terminal_gets_plain_lines(program: list[str], forced: dict[str, str]) -> None:
    done = subprocess.run(
        program, env={**os.environ, **AS_OURS, **forced}, capture_output=True, text=True, check=True
    )
    assert "answered by" not in done.stderr
    assert "\x1b[J" not in done.stderr
    assert "half a line, and the rest" in done.stderr


def test_many_links_and_tiers_are_counted_where_they_have_no_room(tmp_path: Path) -> None:
    links = [LinkGlance(f"device{number}-edge1", 1_234_567, 89, 0, 3) for number in range(1, 41)]
    glance = Glance(9, 9, 9, {"device": 9}, 0, {}, 0.0, 0.0, links, 120, 0.4, 80.0)
    lines = lines_of("what", 0, 0, 3.21, glance)
    assert lines[0] == "   3.2 s  what"
    assert lines[1] == f"{'':10}{'█' * 24} 9 of 9, nearly done; the run 1 min 20 s left"
    assert lines[-1].endswith("and 80 more links")
    assert lines[6] == " device1-edge1    1,234.6       0        0.1       3"
