"""Paragraphs of HTML and XML pages in two languages, aligned by the pages' like structure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lxml import etree
from lxml import html as lxml_html


def words(listed: str) -> frozenset[str]:
    """The words of a list that is written as a text."""
    return frozenset(listed.split())


HTML_BLOCKS = words("p li td th dt dd h1 h2 h3 h4 h5 h6 title caption figcaption summary")
PARAGRAPH_CLASSES = ("para", "paragraph")
"""Classes of a ``div`` that is a paragraph (DocBook's and AsciiDoc's stylesheets)."""
HELP_BLOCKS = words("p title desc td item cite")
HTML_SKIPPED = words(
    "script style pre programlisting screen code-block indexterm nav footer highlight code_block url"
    " literallayout toc synopsis navheader navfooter related sphinxsidebar footnotes listingblock toccolors"
)
"""Elements or classes whose text is code or navigation."""
HELP_SKIPPED = words("code screen media credit license comment revision")
LEAST_RUN = 2
"""So many blocks in a row must be alike where the pages as wholes are not."""

Pair = tuple[str, str]
"""English and German."""


class Block(NamedTuple):
    """A paragraph: the kind of its element, its text, and its ``id``."""

    kind: str
    text: str
    id: str | None = None


def squeeze(text: str) -> str:
    """``text`` with each run of white space as one space."""
    return re.sub(r"\s+", " ", text).strip()


def html_blocks(path: Path) -> list[Block]:
    """The paragraphs of an HTML page, in order."""
    root = lxml_html.parse(str(path), lxml_html.HTMLParser(encoding="utf-8")).getroot()
    body = root.find("body")
    return _blocks(root if body is None else body, _html_kind, HTML_SKIPPED)


def help_blocks(path: Path) -> list[Block]:
    """The paragraphs of a page in Mallard, GNOME's language for help."""
    parser = etree.XMLParser(recover=True, resolve_entities=False, no_network=True)
    root = etree.parse(str(path), parser).getroot()
    return _blocks(root, lambda _, tag: tag if tag in HELP_BLOCKS else None, HELP_SKIPPED)


def _html_kind(element: Any, tag: str) -> str | None:
    name = element.get("class") or ""
    if tag in HTML_BLOCKS:
        return f"{tag}.{name}"
    return "div.para" if tag == "div" and name in PARAGRAPH_CLASSES else None


def _blocks(root: Any, kind_of: Callable[[Any, str], str | None], skipped: frozenset[str]) -> list[Block]:
    found: list[tuple[str, list[str], str | None]] = []

    def walk(element: Any, around: list[str] | None) -> None:
        """Add the element's text to its own block, or else to the one around it."""
        if isinstance(element.tag, str):
            tag = etree.QName(element).localname
            if tag in skipped or (element.get("class") or "") in skipped:
                if around is not None:
                    around.append(" ")
            else:
                inside = around
                if kind := kind_of(element, tag):
                    inside = []
                    found.append((kind, inside, element.get("id")))
                if inside is not None and element.text:
                    inside.append(element.text)
                for child in element:
                    walk(child, inside)
        if around is not None and element.tail:
            around.append(element.tail)

    walk(root, None)
    texts = ((kind, squeeze("".join(parts)), name) for kind, parts, name in found)
    return [Block(kind, text, name) for kind, text, name in texts if text]


def aligned(english: Sequence[Block], german: Sequence[Block]) -> Iterator[Pair]:
    """Pairs of paragraphs: all if both pages have the same kinds in the same order, else runs that are alike.

    Texts that are the same in both (code, numbers) hold the runs in place.
    """
    if [block.kind for block in english] == [block.kind for block in german]:
        yield from ((block.text, other.text) for block, other in zip(english, german, strict=True))
        return
    same = {block.text for block in english} & {block.text for block in german}
    first, second = ([(block.kind, block.text if block.text in same else "") for block in page]
                     for page in (english, german))  # fmt: skip
    for what, *at in difflib.SequenceMatcher(None, first, second, autojunk=False).get_opcodes():
        if what == "equal" and at[1] - at[0] >= LEAST_RUN:
            run = zip(english[at[0] : at[1]], german[at[2] : at[3]], strict=True)
            yield from ((block.text, other.text) for block, other in run)


def aligned_by_id(english: Sequence[Block], german: Sequence[Block]) -> Iterator[Pair]:
    """Pairs of the paragraphs and headings that have the same ``id``, as LibreOffice's help has them."""
    sides = [_texts_by_id(page) for page in (english, german)]
    for name, texts in sides[0].items():
        others = sides[1].get(name, [])
        if len(texts) == len(others):
            yield from zip(texts, others, strict=True)


def _texts_by_id(page: Sequence[Block]) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    for block in page:
        if block.id and block.id.startswith(("par_", "hd_")):
            texts.setdefault(block.id, []).append(block.text)
    return texts
