"""Values of models, confidences and policies made plain: what JSON and a run's tables can hold, or an error.

A plug-in may give what its libraries have: scalars of numpy or torch, a Decimal, its own kind of text. What
a record of a request cannot hold would be the loss of all records, so it ends that one request.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, TypeVar

from tiers.protocol import encode_json

Value = TypeVar("Value")

MOST = 2**53
"""Of whole numbers: up to there every reader of JSON has them exactly."""
_LONGEST_MESSAGE = 500


def text(value: object, what: str) -> str:
    """A text that UTF-8 can hold.

    Raises:
        ValueError: it is none; ``what`` says of what.
    """
    if not isinstance(value, str):
        raise ValueError(f"{what} is {_named(value)}, and no text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{what} is no text that UTF-8 can hold ({error.reason})") from None
    return str.__str__(value)


def bounded_text(value: object, what: str, most_bytes: int) -> str:
    """A text that takes no more than so many bytes where it travels, and where it is recorded: as JSON.

    Raises:
        ValueError: it is none, or a longer one.
    """
    plain = text(value, what)
    size_bytes = len(encode_json(plain))
    if size_bytes > most_bytes:
        raise ValueError(f"{what} takes {size_bytes:,} bytes as JSON, and {most_bytes:,} are the most")
    return plain


def number(value: object, what: str) -> float:
    """A number in double precision, which may be NaN or infinite.

    Raises:
        ValueError: it is none; a truth and a text are none.
    """
    value = _scalar(value)
    if isinstance(value, bool | str | bytes) or not hasattr(value, "__float__"):
        raise ValueError(f"{what} is {_named(value)}, and no number")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{what} is larger than any number in double precision") from None


def finite(value: object, what: str) -> float:
    """A number that is neither NaN nor infinite.

    Raises:
        ValueError: it is none.
    """
    found = number(value, what)
    if not math.isfinite(found):
        raise ValueError(f"{what} is {found}, and no finite number")
    return found


def count(value: object, what: str) -> int:
    """A whole number from 0 to :data:`MOST`.

    Raises:
        ValueError: it is none.
    """
    value = _scalar(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST:
        raise ValueError(f"{what} is {_named(value)}, and no whole number from 0 to {MOST}")
    return int(value)


def truth(value: object, what: str) -> bool:
    """True or false.

    Raises:
        ValueError: it is neither.
    """
    value = _scalar(value)
    if not isinstance(value, bool):
        raise ValueError(f"{what} is {_named(value)}, and neither true nor false")
    return value


def maybe(plain: Callable[[object, str], Value], value: object, what: str) -> Value | None:
    """One of the above, or ``None``, which stands for nothing."""
    return None if value is None else plain(value, what)


def structure(value: object) -> Any:
    """What JSON makes of lists and mappings of such values.

    Raises:
        ValueError, TypeError: it cannot hold one of them.
    """
    return json.loads(json.dumps(value, default=_listed, ensure_ascii=False, allow_nan=False).encode())


def told(error: BaseException) -> str:
    """An error in one line that JSON and a terminal can hold, whatever its class makes of it."""
    try:
        message = str(error)
    except BaseException:
        message = "which does not say what it is"
    line = " ".join(f"{type(error).__name__}: {message[: 4 * _LONGEST_MESSAGE]}".split())
    return line[:_LONGEST_MESSAGE].encode(errors="replace").decode().removesuffix(":")


def _scalar(value: object) -> object:
    """What numpy's and torch's scalars hold; any other value as it is."""
    if isinstance(value, bool | int | float | str | bytes):
        return value
    item = getattr(value, "item", None)
    return item() if callable(item) else value


def _listed(value: object) -> object:
    tolist = getattr(value, "tolist", None)
    if not callable(tolist):
        raise TypeError(f"{_named(value)} is nothing that JSON has")
    return tolist()


def _named(value: object) -> str:
    """A value in an error: a number as it is, of anything else the type, which has a short name."""
    if value is None or isinstance(value, bool | float):
        return str(value)
    if isinstance(value, int) and abs(value) <= MOST << 10:
        return str(value)
    return f"of type {type(value).__name__}"
