"""What of a program's output says why it ended."""

from __future__ import annotations

import subprocess
import sys

import pytest

from testbed.host.processes.reporting import KEPT_BYTES, end_of, last_line


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        (b"", "it said nothing"),
        (b" \n\n", "it said nothing"),
        (b"one\ntwo\n", "two"),
        ("ValueError: half \udc80\n", "ValueError: half \ufffd"),
        (b"\x1b[2J\x07now you see it\n", " [2J now you see it".strip()),
    ],
)
def test_the_last_line_is_told_as_a_terminal_may_have_it(printed: bytes | str, said: str) -> None:
    assert (
        last_line(printed.encode(errors="surrogateescape") if isinstance(printed, str) else printed) == said
    )


def test_of_an_interpreter_that_crashed_it_is_the_reason_and_not_the_stack() -> None:
    code = "import faulthandler, ctypes; faulthandler.enable(); ctypes.string_at(0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30, check=False)
    assert last_line(done.stderr) == "Fatal Python error: Segmentation fault"


def test_of_a_long_log_the_end_is_kept() -> None:
    whole = b"".join(b"%d\n" % number for number in range(20_000))
    kept = end_of(whole)
    assert KEPT_BYTES - 10 < len(kept) <= KEPT_BYTES
    assert whole.endswith(b"\n" + kept)
    assert end_of(b"few words") == b"few words"
