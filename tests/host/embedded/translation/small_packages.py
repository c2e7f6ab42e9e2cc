"""A small directory of unpacked packages, laid out like Debian's, with sentences of our own."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path

SUBJECTS = {"The server": "Der Server", "The router": "Der Router", "The client": "Der Client"}
VERBS = {"reads": "liest", "writes": "schreibt", "deletes": "löscht", "opens": "öffnet", "sends": "sendet"}
OBJECTS = {
    "the file": "die Datei",
    "the message": "die Nachricht",
    "the page": "die Seite",
    "the line": "die Zeile",
    "the answer": "die Antwort",
}


def sentence_pairs() -> list[tuple[str, str]]:
    """Seventy-five simple sentences and their translations."""
    parts = itertools.product(SUBJECTS.items(), VERBS.items(), OBJECTS.items())
    return [(f"{a} {b} {c} with this.", f"{x} {y} {z} mit diesem und.") for (a, x), (b, y), (c, z) in parts]


def write_packages(into: Path) -> Path:
    """Write pages of each kind that the real packages have."""
    pairs = sentence_pairs()
    shares = [pairs[at::5] for at in range(5)]
    _write_libreoffice(into, shares[0])
    _write_handbook(into, shares[1])
    _write_help(into, shares[2])
    _write_manuals(into, shares[3])
    _write_descriptions(into, shares[4])
    _write(into / "trans-de-en/usr/share/trans/de-en", "# Ding\nHaus {n} | Häuser :: house | houses\n")
    return into


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _write_libreoffice(into: Path, pairs: list[tuple[str, str]]) -> None:
    for side, package, language in ((0, "en-us", "en-US"), (1, "de", "de")):
        paragraphs = [f'<p id="par_id{at}" class="x">{pair[side]}</p>' for at, pair in enumerate(pairs)]
        folder = f"libreoffice-help-{package}/usr/share/libreoffice/help/{language}/text/shared"
        if side:
            paragraphs.reverse()  # they are aligned by their ids, wherever they stand
        page = f"<html><body>{''.join(paragraphs)}<pre>printf</pre></body></html>"
        _write(into / folder / "main.html", page)


def _write_handbook(into: Path, pairs: list[tuple[str, str]]) -> None:
    for side, language in ((0, "en-US"), (1, "de-DE")):
        text = "".join(
            f'<div class="para">{pair[side]}<pre class="screen">code</pre></div>' for pair in pairs
        )
        folder = into / "debian-handbook/usr/share/doc/debian-handbook/html" / language
        _write(folder / "chapter.html", f"<html><head><title>x</title></head><body>{text}</body></html>")


def _write_help(into: Path, pairs: list[tuple[str, str]]) -> None:
    for side, language in ((0, "C"), (1, "de")):
        text = "".join(f"<p>{pair[side]}</p><screen>ls</screen>" for pair in pairs)
        page = f'<page xmlns="http://projectmallard.org/1.0/" id="x">{text}</page>'
        _write(into / "gnome-user-docs/usr/share/help" / language / "gnome-help/x.page", page)


def _write_manuals(into: Path, pairs: list[tuple[str, str]]) -> None:
    for side, folder in (
        (0, "manpages/usr/share/man/man1"),
        (1, "manpages-de/usr/share/man/de/man1"),
    ):
        text = '.\\" a comment\n.TH X 1\n' + "".join(f".PP\n{pair[side]}\n.nf\ncode\n.fi\n" for pair in pairs)
        path = into / folder / "x.1.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()))


def _write_descriptions(into: Path, pairs: list[tuple[str, str]]) -> None:
    for side, language in ((0, "en"), (1, "de")):
        entries = [
            f"Package: p{at}\nDescription-md5: {at}\nDescription-{language}: {pair[side]}\n 17.\n .\n 18.\n"
            for at, pair in enumerate(pairs)
        ]
        _write(into / "descriptions" / f"Translation-{language}", "\n".join(entries))
