"""The checks by name. A new one is a function in a module of this package, named here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from testbed.errors import TestbedError
from testbed.validation.check import Check


def checks() -> Mapping[str, Check]:
    """All of them, in the order in which they run: links first, then what stands on them."""
    from testbed.validation import counting, links, rate_file, sojourn, times, transfer, twins

    modules = (times, links, counting, transfer, sojourn, rate_file, twins)
    return {check.name: check for module in modules for check in module.CHECKS}


def select(only: Sequence[str] | None) -> list[Check]:
    """The named checks, or all, in their own order.

    Raises:
        TestbedError: a name that no check has, or no name.
    """
    known = checks()
    if only is not None and not only:
        raise TestbedError(f"--only: name a check: {', '.join(known)}")
    for name in only or ():
        if name not in known:
            raise TestbedError(f"--only: there is no check {name!r}; there are {', '.join(known)}")
    return [check for check in known.values() if not only or check.name in only]
