"""How a long step tells what it is doing, and what a program printed last."""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[str], None]
"""Called with a sentence of progress."""

KEPT_BYTES = 64 << 10
"""Of what a program printed, where its end is kept."""
REPORT_EVERY_S = 10.0
"""How often a step that takes long repeats where it is."""


def silent(_sentence: str) -> None:
    """A :data:`Report` that tells nobody."""


def last_line(printed: str | bytes) -> str:
    """The last line of what a program printed, in which it mostly says why it ended.

    Of an interpreter that crashed it is the line above the stack, which says how.
    """
    text = printed if isinstance(printed, str) else printed.decode(errors="replace")
    lines = text.rstrip().splitlines()
    if not lines:
        return "it said nothing"
    crashes = [line for line in lines if line.startswith("Fatal Python error: ")]
    line = crashes[-1] if crashes and lines[-1].startswith(("  File ", "Extension modules:")) else lines[-1]
    return "".join(letter if letter.isprintable() else " " for letter in line).strip()


def end_of(printed: bytes) -> bytes:
    """The last :data:`KEPT_BYTES` of what a program printed, from the beginning of a line."""
    if len(printed) <= KEPT_BYTES:
        return printed
    end = printed[-KEPT_BYTES:]
    return end[end.find(b"\n") + 1 :]
