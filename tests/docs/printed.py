"""What commands print, as far as it is the same in each run."""

from __future__ import annotations

import re

VARYING = re.compile(r"\bms\b|frames|\bp\b|\btime\b")
"""In the heads of columns that are other ones in each run: times, TCP's own frames, what is made of them."""
OF_ONE_RUN = re.compile(r"\d (?:ms|s|min|MB)\b|took|latency|^[ …]|^-|n/v")
"""In lines that are so: times, what a busy host does, and what is left out."""
FRAME = re.compile(r" +-?\d+\.\d{6} ")
"""The beginning of a captured frame's line: its time."""


def facts(text: str) -> list[dict[str, str]]:
    """All that a command's output says and that is the same in each run.

    A table's row is its cells by their columns' heads, in a table without heads by its first cell. A line
    beside tables, and a frame that carries a text, have an empty head, and no time.
    """
    found: list[dict[str, str]] = []
    heads: list[str] = []
    above = ""
    for line in text.splitlines():
        begins, above = above, line[:1]
        if line.startswith("┃"):
            cells = _cells(line, "┃")
            more = begins == "┃"
            heads = [" ".join(pair).strip() for pair in zip(heads, cells, strict=True)] if more else cells
        elif line.startswith("┌"):
            heads = []
        elif line.startswith("│"):
            found += _row(line, heads)
        elif FRAME.match(line):
            found += [{"": " ".join(line.split()[1:])}] if re.search(r"(prompt|answer) \d", line) else []
        elif line.strip() and line[0] not in "┏┡└├" and not OF_ONE_RUN.search(line):
            found.append({"": " ".join(line.split())})
    return found


def _row(line: str, heads: list[str]) -> list[dict[str, str]]:
    cells = _cells(line, "│")
    if heads:
        return [{head: cell for head, cell in zip(heads, cells, strict=True) if not VARYING.search(head)}]
    first, *others = cells
    return [{first: " ".join(others).strip()}] if first and not OF_ONE_RUN.search(line) else []


def _cells(line: str, border: str) -> list[str]:
    return [" ".join(cell.split()) for cell in line.strip().strip(border).split(border)]
