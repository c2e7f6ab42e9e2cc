"""Paragraphs of manual pages (man(7)); pages in mdoc(7) are left out: their macros stand inside sentences."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

from testbed.host.embedded.translation.blocks import Block, squeeze, words

_FONTS = words("B I BR RB IR RI BI IB SM SB")
_LINKS = words("UE ME YS")
_LINK_STARTS = words("UR MT SY")
_VERBATIM = {"nf": "fi", "EX": "EE", "TS": "TE", "PS": "PE", "EQ": "EN"}
_DEFINITIONS = words("de ig de1 am")
_MACRO = re.compile(r"[.']\s*([A-Za-z\\\"]+)\s*(.*)")
_ARGUMENT = re.compile(r'"((?:[^"]|"")*)"|(\S+)')

_UMLAUTS = dict(zip("aouAOU", "äöüÄÖÜ", strict=True))
_ESCAPES: tuple[tuple[str, str], ...] = (
    (r"\\\((?:aq|cq|oq)", "'"),
    (r"\\\((?:lq|rq|dq|Fo|Fc|Bq)", '"'),
    (r'\\\*\((?:lq|rq|L"|R")', '"'),
    (r"\\\*\(C[+\w'`]|\\\*\([\w+'`^]{2}", ""),
    (r"\\\((?:en|em|hy|mi)", "-"),
    (r"\\\(bu", ""),
    (r"\\\(co", "©"),
    (r"\\\(ha", "^"),
    (r"\\\(ti", "~"),
    (r"\\\(ga", "`"),
    (r"\\\(->", "->"),
    (r"\\\(ss", "ß"),
    (r"\\\(rs", r"\\\\"),
    (r"\\f(?:\[[^\]]*\]|\(..|.)", ""),  # fonts
    (r"\\[sk][-+]?\d", ""),  # sizes
    (r"\\m\[[^\]]*\]|\\[hvw]'[^']*'", ""),  # colours and motions
    (r"\\-", "-"),
    (r"\\[&/,|^%:!]", ""),  # widths of nothing
    (r"\\[~ 0]", " "),
    (r"\\e", r"\\"),
    (r"\\(['`.])", r"\1"),
    (r"(?m)\\c$", ""),
    (r'\\"[^\n]*', ""),  # comments
    (r"\\\(..", ""),
)


def manual_blocks(path: Path) -> list[Block]:
    """The paragraphs of a compressed page; none if it only names another, is in mdoc or cannot be read."""
    try:
        text = gzip.decompress(path.read_bytes()).decode("utf-8", errors="replace")
    except (OSError, EOFError, zlib.error):
        return []
    if text.startswith(".so ") or re.search(r"^\.Dd ", text, re.MULTILINE):
        return []
    page = _Page()
    for line in text.replace("\\\n", "").split("\n"):
        page.read(line)
    page.end_block("")
    return page.blocks


def plain(text: str) -> str:
    """``text`` without roff's escapes."""
    text = re.sub(r"\\\[u([0-9A-F]{4})\]", lambda found: chr(int(found[1], 16)), text)
    text = re.sub(r"\\\(:([aouAOU])", lambda found: _UMLAUTS[found[1]], text)
    for pattern, replacement in _ESCAPES:
        text = re.sub(pattern, replacement, text)
    return text


class _Page:
    """A page while it is read line by line; a block's kind is the macro that began it."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._kind, self._lines = "", list[str]()
        self._verbatim = self._definition = False

    def end_block(self, next_kind: str) -> None:
        if text := squeeze(plain("\n".join(self._lines))):
            self.blocks.append(Block(self._kind, text))
        self._kind, self._lines = next_kind, []

    def read(self, line: str) -> None:
        if self._definition:
            self._definition = not line.startswith("..")
        elif macro := _MACRO.match(line):
            self._macro(macro[1], macro[2])
        elif self._verbatim:
            return
        elif not line.strip():
            self.end_block("blank")
        else:
            self._lines.append(line)
            if self._kind == "TP":
                self.end_block("TP text")

    def _macro(self, name: str, rest: str) -> None:
        if name.startswith(('"', '\\"')):
            return
        if name in _DEFINITIONS:
            self._definition = True
        elif name in _VERBATIM:
            self.end_block("verbatim")
            self._verbatim = True
        elif name in _VERBATIM.values():
            self.end_block("text")
            self._lines, self._verbatim = [], False
        elif not self._verbatim:
            self._text_macro(name, rest)

    def _text_macro(self, name: str, rest: str) -> None:
        if name in _LINK_STARTS:
            return
        if name in _LINKS:
            self._lines.append("".join(_arguments(rest)))
        elif name in _FONTS:
            alternate = len(name) == 2 and name not in ("SM", "SB")
            self._lines.append(("" if alternate else " ").join(_arguments(rest)))
        else:
            self.end_block(name)
            self._start(name, rest)

    def _start(self, name: str, rest: str) -> None:
        if name in ("SH", "SS") and rest:
            self._lines = [" ".join(_arguments(rest)) if rest.startswith('"') else rest]
            self.end_block("heading text")
        elif name == "IP" and rest:
            arguments = _arguments(rest)
            if arguments and len(arguments[0]) > 3:  # shorter ones are bullets
                self._lines = [arguments[0]]
                self.end_block("IP text")
            self._kind = "IP text"


def _arguments(rest: str) -> list[str]:
    return [
        quoted if bare is None else bare
        for quoted, bare in (found.groups() for found in _ARGUMENT.finditer(rest))
    ]
