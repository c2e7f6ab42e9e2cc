"""docs/COMMANDS.md: every command with its arguments and options, as ``--help`` has them.

``python -m tests.commands.commands_page`` writes it anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from inspect import cleandoc

import typer
from typer.core import TyperCommand, TyperGroup

from testbed.cli import app
from tests import ROOT

KEPT = ROOT / "docs" / "COMMANDS.md"
_HEAD = """\
# Commands

Each command as its `--help` tells it. `testbed` is `.venv/bin/testbed`; what builds a network needs root.
"""


def page() -> str:
    """The page as the command line is now."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return _HEAD + "".join(_command(words, command) for words, command in commands(group, "testbed"))


def commands(group: TyperGroup, name: str) -> Iterator[tuple[str, TyperCommand]]:
    """The words by which each command is called, and the command; hidden ones left out."""
    for word, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, f"{name} {word}")
        elif isinstance(command, TyperCommand) and not command.hidden:
            yield f"{name} {word}", command


def _command(words: str, command: TyperCommand) -> str:
    context = typer.Context(command, info_name=words)
    usage = " ".join([words, *command.collect_usage_pieces(context)]).replace("{", "").replace("}", "")
    records = [record for parameter in command.params if (record := parameter.get_help_record(context))]
    rows = [f"| {_code(name)} | {_cell(meaning)} |" for name, meaning in records]
    table = ["| argument or option | meaning |", "|---|---|", *rows, ""] if rows else []
    return "\n".join(["", f"## {words}", "", f"`{usage}`", "", cleandoc(command.help or ""), "", *table])


def _code(text: str) -> str:
    return f"<code>{_cell(text)}</code>" if "|" in text else f"`{' '.join(text.split())}`"


def _cell(text: str) -> str:
    """Neither a tag nor the next cell; by entities, for the site's Markdown would show a backslash."""
    return " ".join(text.split()).replace("<", "&lt;").replace("|", "&#124;")


if __name__ == "__main__":
    KEPT.write_text(page())
