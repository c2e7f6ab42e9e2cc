"""The documents as a reader sees them: code blocks, the commands and the files in them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
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
    """Run a command as typed, by a shell in a folder in which ``testbed`` is this checkout's command."""
    programs = folder / ".programs"
    programs.mkdir(exist_ok=True)
    testbed = programs / "testbed"
    testbed.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m testbed.cli "$@"\n')
    testbed.chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "160"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
