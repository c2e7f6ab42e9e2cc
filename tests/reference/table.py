"""The same figures through netem and through this project's own link, side by side.

``python -m tests.reference.table`` prints the table in Markdown, and on stderr what it is at; it needs root,
and the packages user-mode-linux and kmod where the kernel has no netem.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

from tests import ROOT
from tests.network.lab import tree, up
from tests.reference import uml
from tests.reference.cases import (
    JITTERED_FRAMES,
    PINGS,
    SCATTERED_FRAMES,
    TRANSFERS,
    Case,
    Figure,
    Samples,
    all_cases,
    measure_all,
)
from tests.reference.measure import Ends
from tests.reference.netem import kernel_has_netem

NETEM_TIMEOUT_S = 200.0
ATTEMPTS = 3
"""A host that paused sets two links apart now and then, a link that is wrong does so every time."""
_INSIDE = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.reference.cases import main; main()"
_HEAD = f"""\
Times are medians of {PINGS} lone frames or {TRANSFERS} transfers, shares are of {SCATTERED_FRAMES:,} frames,
deviations of {JITTERED_FRAMES}. What the tests allow in between is how late either side wakes up, or four
standard deviations of what is random.

| link | figure | on paper | netem | this link | may differ by |
|---|---|---:|---:|---:|---:|"""


@dataclass(frozen=True)
class Seen:
    """What both links showed, by the name of the case, and in which kernels."""

    netem: dict[str, Samples]
    own: dict[str, Samples]
    netem_kernel: str
    own_kernel: str


@dataclass(frozen=True)
class Row:
    """A figure of a case through both links; ``None`` where a kernel cannot give it."""

    case: Case
    figure: Figure
    netem: float | None
    own: float | None

    @property
    def agrees(self) -> bool:
        if self.netem is None or self.own is None:
            return True
        return abs(self.netem - self.own) <= self.figure.allowed


def look(report: Callable[[str], None]) -> Seen:
    """Measure both links; where they are apart, both once more, up to ``ATTEMPTS`` times in all."""
    seen = _look(report)
    for _ in range(ATTEMPTS - 1):
        if not (apart := {row.case.name for row in rows(seen) if not row.agrees}):
            break
        report(f"once more: {'; '.join(sorted(apart))}")
        again = _look(report, apart)
        seen = replace(seen, netem=seen.netem | again.netem, own=seen.own | again.own)
    return seen


def _look(report: Callable[[str], None], names: Collection[str] = ()) -> Seen:
    """Measure one after the other: both would be late if they shared the CPUs."""
    report("through netem, which tells at its end")
    command = [os.path.realpath(sys.executable), "-I", "-S", "-B", "-c", _INSIDE, *names]
    here = kernel_has_netem()
    printed = _run(command) if here else uml.run_in_uml(command, NETEM_TIMEOUT_S)
    netem = json.loads(printed)
    with own_link() as ends:
        own = measure_all(ends, report, names)
    machine = "" if here else " in user-mode Linux"
    return Seen(netem["cases"], own, f"{netem['kernel']}{machine}", os.uname().release)


def _run(command: list[str]) -> str:
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, timeout=NETEM_TIMEOUT_S
    ).stdout


@contextlib.contextmanager
def own_link() -> Iterator[Ends]:
    """A link of this project between two bare namespaces, and its ends."""
    with up(tree(devices=1)) as network:
        near, far, link = network.net["device1"], network.net["edge1"], network.link("device1-edge1")
        yield Ends(near.netns_path, far.netns_path, near.IP(), far.IP(), reshape=link.reshape)


def rows(seen: Seen) -> list[Row]:
    found = []
    for case in all_cases():
        samples = zip(case.figures, seen.netem[case.name], seen.own[case.name], strict=True)
        for figure, netem, own in samples:
            values = (figure.reduce(some) if some else None for some in (netem, own))
            found.append(Row(case, figure, *values))
    return found


def markdown(seen: Seen) -> str:
    lines = [f"netem: Linux {seen.netem_kernel}; this link: Linux {seen.own_kernel}.", "", _HEAD]
    last = None
    for row in rows(seen):
        name = row.case.name if row.case.name != last else ""
        last = row.case.name
        values = (row.figure.asked, row.netem, row.own, row.figure.allowed)
        cells = " | ".join(_number(value, row.figure.digits) for value in values)
        lines.append(f"| {name} | {row.figure.name} | {cells} |")
    return "\n".join(lines)


def _number(value: float | None, digits: int) -> str:
    if value is None:
        return "–"
    if math.isnan(value):
        return "not in order"
    return f"{value:,.{digits}f}"


if __name__ == "__main__":
    print(markdown(look(lambda line: print(line, file=sys.stderr, flush=True))))
