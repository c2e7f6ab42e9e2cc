"""What a user did, or a host lacks, said in one sentence; anything else is a defect of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class TestbedError(Exception):
    """A mistake or a lack that its message explains: where it is, what it is, how to mend it.

    The command line prints the message alone and exits with status 1; no traceback.
    """

    __test__ = False  # its name would make pytest collect it


def is_disk_full(error: BaseException) -> bool:
    """Whether an error means that a disk is full; Docker, safetensors and Arrow have classes of their own."""
    return "no space left" in str(error).lower()


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
