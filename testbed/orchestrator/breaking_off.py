"""A method that is broken off, by a signal or by something that has ended: what was measured is kept.

From the first error on, signals are held back and waits are short, so that the rest is done soon and whole.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self, TypeVar

from testbed.errors import TestbedError
from testbed.host.processes.signals import Terminated, undisturbed

WAIT_S = 5.0
"""For what is under way to end, and then for the links to come to rest."""
BREAKS: tuple[type[BaseException], ...] = (KeyboardInterrupt, Terminated, Exception)
"""What breaks a method off."""
_T = TypeVar("_T")


class BreakingOff:
    """What broke a method off; it is raised at the end of the block, if nothing else was before.

    Attributes:
        error: the first that came; ``None`` while nothing broke it off.
    """

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self._holds = False
        self._stack = ExitStack()

    def by(self, error: BaseException) -> None:
        """Note what breaks the method off; the first counts."""
        if self.error is None:
            self.error = error
            self._stack.enter_context(undisturbed(forget=True))

    def hold_signals(self, told: Callable[[], None]) -> None:
        """Hold signals back until the end of the block: all is asked and answered, and would be lost.

        Args:
            told: called when the first comes, to say what is waited for.
        """
        if self.error is None and not self._holds:
            self._holds = True
            self._stack.enter_context(undisturbed(told=told))

    def tried(self, act: Callable[[], _T]) -> _T | None:
        """What ``act`` returns; ``None`` where it fails, which breaks the method off."""
        try:
            return act()
        except (TestbedError, OSError) as error:
            self.by(error)
            return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        if error is None and self.error is not None:
            raise self.error
