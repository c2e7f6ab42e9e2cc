"""How a file is saved that should be UTF-8: with a byte order mark, which is skipped, or in another way."""

from __future__ import annotations

import codecs

BOM = codecs.BOM_UTF8
_SIGNS = {
    codecs.BOM_UTF32_LE: "in UTF-32; save it as UTF-8",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "in UTF-32; save it as UTF-8",
    codecs.BOM_UTF16_LE: "in UTF-16; save it as UTF-8",
    codecs.BOM_UTF16_BE: "in UTF-16; save it as UTF-8",
    b"\x1f\x8b": "compressed with gzip; unpack it",
    b"BZh": "compressed with bzip2; unpack it",
    b"\xfd7zXZ": "compressed with xz; unpack it",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; unpack it",
    b"PK\x03\x04": "compressed with zip; unpack it",
}


def other_than_utf_8(begins: bytes) -> str | None:
    """What a file is instead of text in UTF-8, by its first bytes, and the mend; ``None`` if none tell."""
    return next((what for sign, what in _SIGNS.items() if begins.startswith(sign)), None)
