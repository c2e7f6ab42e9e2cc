"""Pairs of paragraphs from each unpacked package: where its pages are, and how they are aligned."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from testbed.host.embedded.translation.blocks import (
    Pair,
    aligned,
    aligned_by_id,
    help_blocks,
    html_blocks,
    squeeze,
)
from testbed.host.embedded.translation.packages import DESCRIPTIONS
from testbed.host.embedded.translation.roff import manual_blocks


class Segment(NamedTuple):
    """A paragraph and its translation, with the source and the page that it is from."""

    source: str
    page: str
    english: str
    german: str


def segments(packages: Path) -> Iterator[Segment]:
    """All pairs of paragraphs below the directory of :func:`fetch_packages`; packages may be missing.

    The order is fixed: by source, then by the pages' names.
    """
    yield from _libreoffice(packages)
    for source, pages in _html_pages(packages).items():
        for english, german in pages:
            yield from _named(source, english.name, aligned(html_blocks(english), html_blocks(german)))
    for folder in sorted(packages.glob("*/usr/share/help/C")):
        for page, other in _both(folder, folder.parent / "de", "*.page"):
            yield from _named("gnome-help", page.name, aligned(help_blocks(page), help_blocks(other)))
    yield from _manuals(packages)
    yield from _descriptions(packages / DESCRIPTIONS)


def _named(source: str, page: str, pairs: Iterable[Pair]) -> Iterator[Segment]:
    for english, german in pairs:
        if squeeze(english) and squeeze(german):
            yield Segment(source, page, squeeze(english), squeeze(german))


def _both(english: Path, german: Path, pattern: str) -> Iterator[tuple[Path, Path]]:
    """The pages below ``english`` that are in the same place below ``german``, too."""
    for page in sorted(english.rglob(pattern)):
        if (other := german / page.relative_to(english)).is_file():
            yield page, other


def _libreoffice(packages: Path) -> Iterator[Segment]:
    english = packages / "libreoffice-help-en-us/usr/share/libreoffice/help/en-US"
    german = packages / "libreoffice-help-de/usr/share/libreoffice/help/de"
    for page, other in _both(english / "text", german / "text", "*.html"):
        name = str(page.relative_to(english / "text").with_suffix(""))
        yield from _named("libreoffice-help", name, aligned_by_id(html_blocks(page), html_blocks(other)))


def _html_pages(packages: Path) -> dict[str, list[tuple[Path, Path]]]:
    handbook = packages / "debian-handbook/usr/share/doc/debian-handbook/html"
    developers = "usr/share/developers-reference"
    pages = {
        "debian-handbook": list(_both(handbook / "en-US", handbook / "de-DE", "*.html")),
        "developers-reference": list(
            _both(
                packages / "developers-reference" / developers,
                packages / "developers-reference-de" / developers / "de",
                "*.html",
            )
        ),
    }
    for source, english, german, folder in (
        ("debian-reference", "debian-reference-en", "debian-reference-de", "usr/share/debian-reference"),
        ("debian-faq", "debian-faq", "debian-faq-de/usr/share/doc/debian/FAQ/de", "usr/share/doc/debian/FAQ"),
    ):
        other = packages / german if "/" in german else packages / german / folder
        found = sorted((packages / english / folder).glob("*.html"))
        pairs = (
            (page, other / page.name.replace(".en.", ".de.")) for page in found if ".de." not in page.name
        )
        pages[source] = [(page, there) for page, there in pairs if there.is_file()]
    return pages


def _manuals(packages: Path) -> Iterator[Segment]:
    english: dict[str, Path] = {}
    for page in sorted(packages.glob("*/usr/share/man/man*/*.gz")):
        english.setdefault(page.name, page)
    for page in sorted(packages.glob("*/usr/share/man/de/man*/*.gz")):
        own = page.parents[2] / page.parent.name / page.name  # the original in the same package
        if original := own if own.is_file() else english.get(page.name):
            yield from _named("manpages", page.stem, aligned(manual_blocks(original), manual_blocks(page)))


def _descriptions(folder: Path) -> Iterator[Segment]:
    """Package descriptions (deb822, as apt has them): the first line, then its paragraphs if as many."""
    sides = [_by_package(folder / f"Translation-{language}") for language in ("en", "de")]
    for key, (short, *english) in sides[0].items():
        if key in sides[1]:
            other, *german = sides[1][key]
            pairs = [(short, other)]
            first, second = _paragraphs(english), _paragraphs(german)
            if len(first) == len(second):
                pairs += zip(first, second, strict=True)
            yield from _named("package-descriptions", key[0], pairs)


def _by_package(path: Path) -> dict[tuple[str, str], list[str]]:
    """The lines of each description, by package and the checksum of the English one."""
    found: dict[tuple[str, str], list[str]] = {}
    if not path.is_file():
        return found
    package = checksum = ""
    lines: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("Package: "):
            package = line.removeprefix("Package: ")
        elif line.startswith("Description-md5: "):
            checksum = line.removeprefix("Description-md5: ")
        elif line.startswith("Description-"):
            lines = found[package, checksum] = [line.split(": ", 1)[1].strip()]
        elif line.startswith(" "):
            lines.append(line[1:])
    return found


def _paragraphs(lines: Iterable[str]) -> list[str]:
    paragraphs: list[list[str]] = [[]]
    for line in lines:
        if line.strip() in ("", "."):
            paragraphs.append([])
        elif bullet := re.match(r"\s*[*•-]\s+", line):
            paragraphs.append([line[bullet.end() :]])
        else:
            paragraphs[-1].append(line)
    return [squeeze(" ".join(paragraph)) for paragraph in paragraphs if paragraph]


def dictionary(packages: Path) -> Iterator[Pair]:
    """Short phrases and example sentences: Ding's lines are ``German :: English``, each divided by ``|``."""
    path = packages / "trans-de-en/usr/share/trans/de-en"
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or "::" not in line:
            continue
        german, english = (side.split("|") for side in line.split("::", 1))
        if len(german) == len(english):
            pairs = ((_entry(one), _entry(other)) for one, other in zip(english, german, strict=True))
            yield from (pair for pair in pairs if all(pair) and "/" not in "".join(pair))


def _entry(text: str) -> str:
    """The first translation of an entry, without remarks in brackets."""
    text = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\([^)]*\)|<[^>]*>|/[A-Z][^/]*/", "", text)
    return text.split(";")[0].strip()
