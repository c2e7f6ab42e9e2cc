"""The documents as a reader sees them: code blocks, the commands and the files in them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests import ROOT

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "traces" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
SHELL = ("sh", "console")
_BLOCK = re.compile(
    r"(?:^<!-- (?P<note>(?:not run|run by): [^\n]*?) -->\n+)?"
    r'^```(?P<language>\w+)(?: title="(?P<title>[^"]*)")?\n(?P<text>.*?)^```$',
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A code block: its language, the file that its title names, and what the comment above it says."""

    page: Path
    line: int
    language: str
    title: str | None
    note: str | None
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """What is typed: each line of ``sh``, each line after ``$`` of ``console``; without remarks."""
        text = self.text.replace("\\\n", " ")
        if self.language == "console":
            text = "\n".join(re.findall(r"^\$ (.*)$", text, re.MULTILINE))
        return [command for line in text.splitlines() if (command := without_remark(line))]


def blocks(page: Path) -> Iterator[Block]:
    """All code blocks of a page, in order."""
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("language")) + 1
        yield Block(page, line, found["language"], found["title"], found["note"], found["text"])


def shell_blocks() -> list[Block]:
    """All blocks of commands in all documents."""
    return [block for page in PAGES for block in blocks(page) if block.language in SHELL]


def without_remark(line: str) -> str:
    """A line of a shell without the remark at its end, blanks between words as one."""
    quoted = r"""(?:'[^']*'|"[^"]*"|[^'"#]|(?<=\S)#)*"""
    found = re.match(quoted, line)
    return re.sub(r"\s+", " ", found[0] if found else line).strip()


def words(command: str) -> list[str]:
    """The words of a command, as a shell splits them."""
    return shlex.split(command)


def typed(command: str, folder: Path, timeout_s: int = 600) -> subprocess.CompletedProcess[str]:
    """Run a command as typed, by a shell in a folder in which ``testbed`` is a command."""
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=_environment(folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def typed_together(
    commands: Iterable[str], folder: Path, notes: Path, timeout_s: int = 600
) -> Iterator[subprocess.CompletedProcess[str]]:
    """Type commands into one shell, one after the other, up to the first that fails; what came of each.

    What one of them sets is there for those after it. ``notes`` is a new folder for what each printed.
    """
    asked = dict(enumerate(commands))
    notes.mkdir()
    lines = [
        f"{{ {command}\n}} >{notes}/{at}.out 2>{notes}/{at}.err; status=$?; echo $status >{notes}/{at}\n"
        "[ $status = 0 ] || exit $status"
        for at, command in asked.items()
    ]
    typed("\n".join(lines), folder, timeout_s)
    for at, command in asked.items():
        if (notes / str(at)).exists():
            out, err = ((notes / f"{at}.{name}").read_text() for name in ("out", "err"))
            yield subprocess.CompletedProcess(command, int((notes / str(at)).read_text()), out, err)


def _environment(folder: Path) -> dict[str, str]:
    """What a shell there has: ``testbed`` of the clone that the folder is, or else of this checkout."""
    programs = folder / ".programs"
    programs.mkdir(exist_ok=True)
    testbed = programs / "testbed"
    testbed.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m testbed.cli "$@"\n')
    testbed.chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    code = folder if (folder / "testbed").is_dir() else ROOT
    return {**os.environ, "PATH": path, "PYTHONPATH": str(code), "COLUMNS": "160"}
