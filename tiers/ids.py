"""Request ids: as users send them, and as they travel between tiers."""

from __future__ import annotations

import itertools
import threading
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from hashlib import sha256

from tiers.errors import invalid
from tiers.protocol import REQUEST_ID_HEADER, REQUEST_ID_MAX_LENGTH
from tiers.records import KEPT, Bounded

MAX_USER_ID_LENGTH = 256
"""In bytes: UUIDs, W3C trace parents, and ids that proxies strung together."""
MARK = "~"
"""How the short form of a longer id begins. Few ids of users do."""


class ShortIds:
    """Gives each id of a user the one of at most 12 characters by which tiers, records and captures know it.

    An id that is short and of plain ASCII is its own. Any other has 11 characters of its SHA-256, behind
    :data:`MARK`; the same id has the same one at every node. Of two ids that would have the same, the second
    gets another. Between ids of different nodes that is left to chance: 1 in 10^9 for 200,000 of them; then
    the node above refuses the second as a conflict, if its body is another.
    """

    def __init__(self, limit: int = KEPT) -> None:
        self._lock = threading.Lock()
        self._owners: Bounded[str, bytes] = Bounded(limit)

    def of(self, user_id: str) -> str:
        """The short id of ``user_id``, a header's value with a character for each byte.

        Raises:
            RequestError: 400; it is too long.
        """
        if len(user_id) > MAX_USER_ID_LENGTH:
            raise invalid(f"{REQUEST_ID_HEADER}: at most {MAX_USER_ID_LENGTH} bytes; send less, or none")
        plain = _plain(user_id)
        if plain and not user_id.startswith(MARK):
            return user_id
        owner = sha256(user_id.encode()).digest()
        with self._lock:
            for short in itertools.chain([user_id] if plain else [], _digests(user_id)):
                if self._owners.setdefault(short, owner) == owner:
                    self._owners.put(short, owner)
                    return short
        raise AssertionError("there is always another digest")


def _plain(user_id: str) -> bool:
    return len(user_id) <= REQUEST_ID_MAX_LENGTH and user_id.isascii() and user_id.isprintable()


def _digests(user_id: str) -> Iterator[str]:
    for attempt in itertools.count():
        digest = sha256(f"{attempt} {user_id}".encode()).digest()
        yield MARK + urlsafe_b64encode(digest).decode()[: REQUEST_ID_MAX_LENGTH - 1]
