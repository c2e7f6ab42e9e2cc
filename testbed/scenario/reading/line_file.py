"""Text files of one value a line, which may be large: read in bounded memory, each mistake with its line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from testbed.errors import TestbedError

MAX_LINE_BYTES = 64
Value = TypeVar("Value")


def read_values(
    path: Path, parse: Callable[[bytes, int], Value], what: str, max_line_bytes: int = MAX_LINE_BYTES
) -> Iterator[Value]:
    """Yield what ``parse`` makes of each line and its number, counted from 1.

    A line comes with its end, and cut to ``max_line_bytes``.

    Args:
        parse: raises a ValueError that says what is wrong with the line and how to mend it.
        what: such a file, in words: ``rate file``.

    Raises:
        TestbedError: with file and line, what ``parse`` said; or the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(max_line_bytes), b""), start=1):
                try:
                    yield parse(line, number)
                except ValueError as error:
                    raise TestbedError(f"{path}:{number}: {error}") from None
    except OSError as error:
        raise TestbedError(f"{path}: cannot be read ({error.strerror}); give a {what}'s path") from None
