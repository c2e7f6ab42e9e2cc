"""Text files of one value a line, which may be large: read in bounded memory, each mistake with its line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from testbed.errors import TestbedError
from testbed.scenario.reading.encoding import BOM, other_than_utf_8

MAX_LINE_BYTES = 64
MAX_EMPTY_LINES = 10_000
"""In a row: so many at a file's end are passed over, and more anywhere are refused."""
Value = TypeVar("Value")


def read_values(
    path: Path,
    parse: Callable[[bytes, int], Value],
    what: str,
    max_line_bytes: int = MAX_LINE_BYTES,
    content: str = "text",
) -> Iterator[Value]:
    """Yield what ``parse`` makes of each line and its number, counted from 1.

    A line comes with its end, and cut to ``max_line_bytes``. A byte order mark and empty last lines, which
    editors and other programs leave, are no part of the file.

    Args:
        parse: raises a ValueError that says what is wrong with the line and how to mend it.
        what: such a file, in words: ``rate file``.
        content: what such a file holds, in words: ``JSON``.

    Raises:
        TestbedError: with file and line, what ``parse`` said; or the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            if file.peek(len(BOM)).startswith(BOM):  # a pipe cannot be rewound
                file.read(len(BOM))
            for number, line in _numbered(iter(lambda: file.readline(max_line_bytes), b""), path):
                try:
                    yield parse(line, number)
                except ValueError as error:
                    other = other_than_utf_8(line) if number == 1 else None
                    reason = f"is not {content} in UTF-8 but {other}" if other else error
                    raise TestbedError(f"{path}:{number}: {reason}") from None
    except OSError as error:
        raise TestbedError(f"{path}: cannot be read ({error.strerror}); give a {what}'s path") from None


def _numbered(lines: Iterator[bytes], path: Path) -> Iterator[tuple[int, bytes]]:
    """Each line with its number, but for the empty ones at the end."""
    empty: list[tuple[int, bytes]] = []
    for number, line in enumerate(lines, start=1):
        if line.endswith(b"\n") and not line.strip():
            empty.append((number, line))
            if len(empty) > MAX_EMPTY_LINES:
                raise TestbedError(
                    f"{path}:{number}: more than {MAX_EMPTY_LINES} empty lines in a row; remove them"
                )
            continue
        yield from empty
        empty.clear()
        yield number, line
