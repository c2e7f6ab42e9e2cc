"""How a long step tells what it is doing, and what a program printed last."""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[str], None]
"""Called with a sentence of progress."""

REPORT_EVERY_S = 10.0
"""How often a step that takes long repeats where it is."""


def silent(_sentence: str) -> None:
    """A :data:`Report` that tells nobody."""


def last_line(printed: str | bytes) -> str:
    """The last line of what a program printed, in which it mostly says why it ended."""
    text = printed if isinstance(printed, str) else printed.decode(errors="replace")
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else "it said nothing"
