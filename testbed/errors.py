"""What a user did, or a host lacks, said in one sentence; anything else is a defect of ours."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

MAX_SENTENCE = 2000
"""Characters. A message quotes what it found, which may be a whole file."""
_LINE_BREAK = re.compile(r"\s*[\r\n]\s*")
_DISK_FULL = {errno.ENOSPC: "no space left", errno.EDQUOT: "disk quota exceeded"}
"""With the words that others say it by; "quota exceeded" alone may be a registry's, of downloads."""


class TestbedError(Exception):
    """A mistake or a lack that its message explains: where it is, what it is, how to mend it.

    The command line prints the message alone and exits with status 1; no traceback. Whatever the message
    quotes, it is one line of printable text (:func:`one_line`).
    """

    __test__ = False  # its name would make pytest collect it

    def __init__(self, sentence: str) -> None:
        super().__init__(one_line(sentence))


def one_line(text: str, longest: int = MAX_SENTENCE) -> str:
    """The text as one printable line of bounded length, with the middle left out: the mend stands at the end.

    What a terminal would act upon, or cannot show, is escaped as in Python.
    """
    line = _LINE_BREAK.sub(" ", text).strip()
    if len(line) > longest:
        half = longest // 2
        line = f"{line[:half]} … {line[-half:]}"
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def disk_full_errno(error: BaseException) -> int | None:
    """``ENOSPC`` if an error means that a disk is full, ``EDQUOT`` if a quota is used up; else ``None``.

    Docker, safetensors and Arrow have classes of their own for it, with words alone.
    """
    number = getattr(error, "errno", None)
    if number in _DISK_FULL:
        return int(number)
    words = str(error).lower()
    return next((number for number, said in _DISK_FULL.items() if said in words), None)


def is_disk_full(error: BaseException) -> bool:
    """Whether an error means that a disk has no room for us: it is full, or a quota on it is used up."""
    return disk_full_errno(error) is not None


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Say which extra of the package is to be installed, where an import in the block fails for want of it.

    Raises:
        TestbedError: another project's package is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("testbed", "tiers"):
            raise
        raise TestbedError(f"the package {package} is missing; install llm-testbed[{extra}]") from error
