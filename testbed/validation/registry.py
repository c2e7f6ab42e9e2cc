"""The checks by name. A check stands in the ``CHECKS`` of a module of this package, which is named here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from testbed.errors import TestbedError
from testbed.validation.check import Check


def checks() -> Mapping[str, Check]:
    """All checks in the order in which they run: links first, then what needs links."""
    from testbed.validation import counting, links, rate_file, sojourn, times, transfer, twins

    modules = (times, links, counting, transfer, sojourn, rate_file, twins)
    return {check.name: check for module in modules for check in module.CHECKS}


def select(only: Sequence[str] | None) -> list[Check]:
    """The named checks, or all, in the order in which they run.

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
