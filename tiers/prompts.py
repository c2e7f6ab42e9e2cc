"""How prompts are cleaned before they are sent, and so how a prompt is known again."""

from __future__ import annotations

import re

_UNWANTED = re.compile(r"[^\w\s.,!?'-]")
_WHITE_SPACE = re.compile(r"\s+")


def clean(text: str) -> str:
    """Clean a prompt as the authors' code does (arXiv:2505.16502).

    Characters other than word characters, white space and ``. , ! ? ' -`` go; then each run of
    white space becomes one space. A text that was cleaned stays as it is.
    """
    return _WHITE_SPACE.sub(" ", _UNWANTED.sub("", text)).strip()
