"""Links and pictures of the documents: whether files and headings are there.

``python -m tests.docs.links`` asks for the addresses outside of the repository, prints those that do not
answer with what was meant, and ends with status 1 if there are such. It is not in CI: it needs a network.
"""

from __future__ import annotations

import re
import sys
import urllib.request
from collections.abc import Iterable
from pathlib import Path

from tests.docs.pages import PAGES

_LINK = re.compile(r"\]\(([^)\s]+)[^)]*\)|<(?:img|a)\s[^>]*?(?:src|href)=\"([^\"]+)\"")
_OUTSIDE = ("http://", "https://")
_CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_TIMEOUT_S = 30


def links(page: Path) -> list[str]:
    """What a page links, and the pictures that it shows, in Markdown or HTML."""
    found = _LINK.findall(_CODE.sub("`", page.read_text()))
    return [markdown or html for markdown, html in found]


def broken(page: Path) -> list[str]:
    """Which links within the repository lead nowhere, and why."""
    wrong = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if link.startswith(_OUTSIDE):
            continue
        if not target.is_file():
            wrong.append(f"{link} leads nowhere")
        elif anchor and anchor not in anchors(target.read_text()):
            wrong.append(f"{link}: no such heading")
    return wrong


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"(?ms)^```.*?^```", "", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def unanswered(pages: Iterable[Path]) -> list[str]:
    """Which addresses outside of the repository do not answer with a page, and what they answer."""
    outside = {link for page in pages for link in links(page) if link.startswith(_OUTSIDE)}
    wrong = []
    for link in sorted(outside):
        request = urllib.request.Request(link, headers={"User-Agent": "Mozilla/5.0"})
        try:
            urllib.request.urlopen(request, timeout=_TIMEOUT_S).close()
        except (OSError, ValueError) as error:
            wrong.append(f"{link}: {error}")
    return wrong


if __name__ == "__main__":
    found = unanswered(PAGES)
    print(*found, sep="\n")
    sys.exit(bool(found))
