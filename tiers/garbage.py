"""Keeps pauses for garbage collection short where a process remembers each of very many requests."""

from __future__ import annotations

import gc

SETTLED_EVERY = 1000


def settle() -> None:
    """Leave all that there is out of later collections. It still goes when nothing refers to it any more."""
    gc.collect()
    gc.freeze()


def settle_at(kept: int) -> None:
    """:func:`settle` whenever another thousand are ``kept``.

    A collection that walks 200,000 records holds up all threads for 90 ms; one that walks what a thousand
    requests left, for 1 ms.
    """
    if kept % SETTLED_EVERY == 0:
        settle()
