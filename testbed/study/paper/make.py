"""Makes the whole table, and writes it after each line, so that an interruption loses little."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.console import Console

from testbed.console import Reporter, widened
from testbed.errors import TestbedError
from testbed.host.files import write_whole
from testbed.study.paper.claims import Claim
from testbed.study.paper.ladders import Ladder
from testbed.study.paper.lines import Line, held, in_order
from testbed.study.paper.on_ladder import OnLadder
from testbed.study.paper.options import Options
from testbed.study.paper.page import write_page_and_figures
from testbed.study.paper.phases import Phases
from testbed.study.paper.table import Table, printed, write_lines

DESCRIBED = "asked.json"
"""What a directory was made by, so that another call cannot go on with it."""


def make_table(
    claims: Sequence[Claim], ladders: Sequence[Ladder], options: Options, reporter: Reporter
) -> Table:
    """Hold each claim against each ladder; write and print the table, and draw its page and figures.

    Raises:
        TestbedError: the directory holds something else, or cannot be written to.
    """
    _open(options)
    phases = Phases(options.out)
    on_ladders = [OnLadder(ladder, options, phases, reporter) for ladder in ladders]
    with in_order(claims) as lines:

        def done(line: Line) -> None:
            lines.append(line)
            reporter.say(f"{line.claim}, {line.ladder}: {line.verdict}")
            write_lines(options.out, lines)

        held(claims, on_ladders, done)
    made = Table(lines, on_ladders, phases.seconds)
    write_lines(options.out, lines, made.notes)
    console = widened(Console(), 200)
    console.print(printed(made))
    for path in write_page_and_figures(made, options):
        reporter.say(f"wrote {options.shown(path)}")
    write_lines(options.out, lines, made.notes)  # once more, with all that is on the disk now
    return made


def _open(options: Options) -> None:
    """Make the directory, or see to it that an earlier call of the same kind made it."""
    asked = {"hub": options.hub, "quick": options.quick, "limit": options.limit}
    text = json.dumps(asked) + "\n"
    path = options.out / DESCRIBED
    try:
        if path.is_file():
            if path.read_text() != text:
                raise TestbedError(
                    f"--out: {options.out} was begun with other options ({path.read_text().strip()}); "
                    "give the same, or name another directory"
                )
        elif options.out.exists() and any(options.out.iterdir()):
            raise TestbedError(f"--out: {options.out} holds something else; name another directory")
        options.out.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode())
    except OSError as error:
        raise TestbedError(f"--out: {options.out} cannot be made ({error.strerror})") from error
