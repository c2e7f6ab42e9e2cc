"""How many files this process and those that it starts may have open: the soft limit, raised as needed."""

from __future__ import annotations

import resource

from testbed.errors import TestbedError


def allow_open_files(count: int, what: str) -> None:
    """Let this process, and what it starts from now on, have ``count`` files open (getrlimit(2)).

    Raises:
        TestbedError: the hard limit is lower; ``what`` ends with "needs" or like words.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise TestbedError(
            f"{what} about {count:,} open files in a process, and this shell allows {hard:,}; raise its hard "
            "limit (`ulimit -Hn`, or nofile in /etc/security/limits.conf)"
        )
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
