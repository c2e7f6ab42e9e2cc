"""Runs a whole program: errors and signals end it with a sentence and a status, defects with a traceback."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import TimeoutExpired
from typing import NoReturn

from testbed.errors import TestbedError, disk_full_errno
from testbed.host.processes.signals import Terminated, terminable


@contextmanager
def program(name: str) -> Iterator[None]:
    """Run the block to its end; SIGTERM and SIGHUP unwind it as Ctrl-C does.

    Raises:
        SystemExit: a mistake of the user, a lack of the host or a signal ended it; the sentence was printed.
    """
    try:
        with terminable():
            yield
    except KeyboardInterrupt:
        end(name, "interrupted", 128 + signal.SIGINT)
    except Terminated as terminated:
        end(name, "terminated", 128 + terminated.number)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except Exception as error:
        sentence = explained(error)
        if sentence is None:
            raise
        end(name, sentence, 1)


def explained(error: Exception) -> str | None:
    """What happened, in one sentence, if user or host can mend it; ``None`` for a defect."""
    if isinstance(error, TestbedError):
        return str(error)
    place = getattr(error, "filename", None)
    if number := disk_full_errno(error):
        lack = "the disk quota is used up" if number == errno.EDQUOT else "no space left"
        return f"{place or 'the disk'}: {lack}; free some and run again"
    if isinstance(error, TimeoutExpired):
        command = error.cmd if isinstance(error.cmd, str) else error.cmd[0]
        return f"{command} was not done after {error.timeout:.0f} s; is this host very busy?"
    if isinstance(error, OSError):
        return f"{place or 'the system'}: {error.strerror or error}"
    return None


def end(name: str, sentence: str, status: int) -> NoReturn:
    """Print the sentence, if there is one, and exit with the status."""
    if sentence:
        with contextlib.suppress(OSError):  # the terminal may be what went away
            print(f"{name}: {sentence}", file=sys.stderr)
    sys.exit(status)
