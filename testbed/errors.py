"""What a user did, or a host lacks, said in one sentence; anything else is a defect of ours."""

from __future__ import annotations


class TestbedError(Exception):
    """A mistake or a lack that its message explains: where it is, what it is, how to mend it.

    The command line prints the message alone and exits with status 1; no traceback.
    """

    __test__ = False  # its name would make pytest collect it
