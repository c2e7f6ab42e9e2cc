"""Handling of the signals that end a program: SIGINT, SIGTERM, and SIGHUP when its terminal goes away."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any]


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

    with _handled(end, signal.SIGTERM, signal.SIGHUP):
        yield


@contextmanager
def handled_by(act: Callable[[int], None]) -> Iterator[None]:
    """Call ``act`` on SIGTERM and SIGHUP in the block, where an exception would be lost."""
    with _handled(lambda number, _frame: act(number), signal.SIGTERM, signal.SIGHUP):
        yield


@contextmanager
def undisturbed(*, forget: bool = False, told: Callable[[], None] | None = None) -> Iterator[list[int]]:
    """Hold SIGINT, SIGTERM and SIGHUP back in the block; the first that came takes effect after it.

    Args:
        forget: none does, since what they ask for is under way already. What is given to the block has them.
        told: called when the first comes.
    """
    arrived: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        arrived.append(number)
        if told is not None and len(arrived) == 1:
            told()

    try:
        with _handled(note, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            yield arrived
    finally:
        for arrival in [] if forget else arrived[:1]:
            signal.raise_signal(arrival)


@contextmanager
def _handled(handler: Handler, *numbers: int) -> Iterator[None]:
    """Handle signals by ``handler`` in the block, but not those that are ignored: nohup(1) ignores SIGHUP."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are handled by the main thread alone
        return
    heard = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in heard}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, signal.SIG_DFL if earlier is None else earlier)


def interrupt_main() -> None:
    """Interrupt the main thread from another one, as Ctrl-C does.

    A shell starts programs in the background with SIGINT ignored: then as SIGTERM does, if that is handled.
    """
    main = threading.main_thread().ident
    for number in (signal.SIGINT, signal.SIGTERM):
        if callable(signal.getsignal(number)) and main is not None:
            signal.pthread_kill(main, number)
            return
