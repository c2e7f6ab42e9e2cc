"""Handling of the signals that end a program: SIGINT, SIGTERM, and SIGHUP when its terminal goes away."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any] | int | None


class Terminated(BaseException):
    """Raised on SIGTERM and SIGHUP, as KeyboardInterrupt is on Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def terminable() -> Iterator[None]:
    """Raise :class:`Terminated` in the main thread on SIGTERM and SIGHUP, so that contexts clean up."""

    def end(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:  # kernel and shell both send it, the second one into the clean-up
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        raise Terminated(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, end) for number in _not_ignored(signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        _restore(before)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Hold SIGINT, SIGTERM and SIGHUP back in the block; the first that came takes effect after it."""
    arrived: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        arrived.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield  # signals are handled by the main thread alone
        return
    numbers = _not_ignored(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield
    finally:
        _restore(before)
        for arrival in arrived[:1]:
            signal.raise_signal(arrival)


def _not_ignored(*numbers: int) -> list[int]:
    """The signals that are not ignored. SIGHUP is under nohup(1), and stays so."""
    return [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]


def _restore(before: Mapping[int, Handler]) -> None:
    for number, handler in before.items():
        signal.signal(number, handler if handler is not None else signal.SIG_DFL)
