"""``python -m tests.corpus.grow [--examples N] [KIND…]`` looks for inputs that do not end as they should.

Hypothesis makes the smallest input that fails in the same way. It is written to ``kept/KIND/refused`` here,
and the exit status is 1: mend the code, and give the file a name that says what it is.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from hypothesis import HealthCheck, given, settings

from tests.corpus.feeds import FEEDS, refusal
from tests.corpus.growth import GROWTH, Named
from tests.corpus.replay import KEPT, HandIn
from tests.corpus.served import serving

CPU_S = 20
"""What is grown is of a few KiB, and takes milliseconds."""


@contextmanager
def ways_in() -> Iterator[Callable[[str], HandIn]]:
    """By kind, how an input is handed in; the server starts when it is first needed."""
    with ExitStack() as stack:

        def way_in(kind: str) -> HandIn:
            if kind != "http":
                return lambda path: refusal(FEEDS[kind], path)
            server = stack.enter_context(serving())
            return lambda path: server.refusal(path.read_bytes())

        yield way_in


def hunt(kind: str, hand_in: HandIn, examples: int, *, derandomize: bool) -> None:
    """Hand in that many new inputs of a kind; ``derandomize``: the same ones each time.

    Raises:
        Exception: one of them failed. The smallest such input was written to where the kept ones are.
    """
    failing: list[Named] = []

    @settings(
        max_examples=examples,
        derandomize=derandomize,
        database=None,
        deadline=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(GROWTH[kind])
    def all_end_well(grown: Named) -> None:
        name, content = grown
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, name)
            path.write_bytes(content)
            try:
                with in_time():
                    hand_in(path)
            except BaseException:
                failing[:] = [grown]  # the last one is the smallest
                raise

    try:
        all_end_well()
    except Exception:
        for name, content in failing:
            path = KEPT / kind / "refused" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            print(f"written: {path}", file=sys.stderr)
        raise


@contextmanager
def in_time() -> Iterator[None]:
    """Raise a ``TimeoutError`` in the block once it has used up its CPU time."""

    def give_up(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"it takes more than {CPU_S} s of a CPU")

    before = signal.signal(signal.SIGPROF, give_up)
    signal.setitimer(signal.ITIMER_PROF, CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def main() -> None:
    parser = argparse.ArgumentParser(description="Look for inputs that do not end as they should.")
    parser.add_argument("kinds", nargs="*", choices=[[], *GROWTH], metavar="KIND", help=", ".join(GROWTH))
    parser.add_argument("--examples", type=int, default=2000, help="of each kind")
    arguments = parser.parse_args()
    failed = False
    with ways_in() as way_in:
        for kind in arguments.kinds or GROWTH:
            print(f"{kind}: {arguments.examples} inputs", file=sys.stderr)
            try:
                hunt(kind, way_in(kind), arguments.examples, derandomize=False)
            except Exception as error:
                failed = True
                traceback.print_tb(error.__traceback__, limit=-8)
                print(f"{type(error).__name__}: {error}", file=sys.stderr)  # without the input, which is kept
    sys.exit(failed)


if __name__ == "__main__":
    main()
