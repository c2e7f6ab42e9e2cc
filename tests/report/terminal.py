"""Runs a program on a real pseudo-terminal (pty(7)), and shows what a person would see there.

The screen knows what the testbed writes, by ECMA-48: text, line feed, carriage return, cursor up, erase below
and colours. Anything else is an error, so that nothing is overlooked.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from tests import ROOT

AS_OURS = {"TERM": "xterm", "PYTHONPATH": str(ROOT)}
_PIECE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")


@dataclass
class Screen:
    """A terminal with all that has scrolled out of it; ``row`` and ``column`` are the cursor's."""

    columns: int
    rows: int
    lines: list[str] = field(default_factory=lambda: [""])
    row: int = 0
    column: int = 0

    def feed(self, text: str) -> None:
        """Take what a program wrote."""
        at = 0
        while at < len(text):
            piece = _PIECE.match(text, at)
            assert piece is not None, f"not understood: {text[at : at + 20]!r}"
            at = piece.end()
            parameter, command, control, written = piece.groups()
            if written:
                self._write(written)
            elif control == "\r":
                self.column = 0
            elif control == "\n":
                self._line_feed()
            elif command == "A":
                top = max(0, len(self.lines) - self.rows)
                self.row = max(top, self.row - int(parameter or 1))
            elif command == "J":
                assert parameter in ("", "0")
                self.lines[self.row] = self.lines[self.row][: self.column]
                del self.lines[self.row + 1 :]
            else:
                assert command == "m", f"not understood: {piece[0]!r}"

    def _line_feed(self) -> None:
        self.row += 1
        if self.row == len(self.lines):
            self.lines.append("")

    def _write(self, text: str) -> None:
        for character in text:
            if self.column == self.columns:
                self._line_feed()
                self.column = 0
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
            self.column += 1

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines)


@dataclass
class Terminal:
    """A program that was run on a terminal: all that it wrote, what is seen, and how it ended."""

    screen: Screen
    written: str = ""
    status: int = 0


def on_terminal(
    argv: Sequence[str],
    columns: int = 100,
    rows: int = 40,
    *,
    environment: Mapping[str, str] | None = None,
    meanwhile: Callable[[Screen, int], None] = lambda _screen, _terminal: None,
    timeout_s: float = 100,
) -> Terminal:
    """Run a program on a terminal of that size until it ends.

    Args:
        environment: beside our own.
        meanwhile: called after each piece that was written, with the screen and the terminal's descriptor.
    """
    pid, descriptor = pty.fork()
    if pid == 0:  # the parent's threads are not here, and nothing but exec follows
        with suppress(OSError):
            os.execvpe(argv[0], list(argv), {**os.environ, **AS_OURS, **(environment or {})})
        os._exit(127)
    resize(descriptor, columns, rows)
    ran = Terminal(Screen(columns, rows))
    end_s = time.monotonic() + timeout_s
    try:
        while piece := _read(descriptor):
            text = piece.decode(errors="replace")
            ran.written += text
            ran.screen.feed(text)
            meanwhile(ran.screen, descriptor)
            assert time.monotonic() < end_s, ran.screen.text
    finally:
        os.close(descriptor)
        ran.status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return ran


def resize(descriptor: int, columns: int, rows: int) -> None:
    """Give a terminal another size."""
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _read(descriptor: int) -> bytes:
    """What was written next; nothing at the end, which Linux tells as EIO. Never half of a character."""
    try:
        piece = os.read(descriptor, 65536)
        while piece and _is_cut(piece):
            piece += os.read(descriptor, 1)
    except OSError:
        return b""
    return piece


def _is_cut(piece: bytes) -> bool:
    """Whether the last character or control sequence is not whole."""
    try:
        piece.decode()
    except UnicodeDecodeError:
        return True
    return re.search(rb"\x1b(\[[0-9;?]*)?$", piece) is not None
