"""The memory that the link process shares with its run, and what the process needs to have at hand."""

from __future__ import annotations

import json
import os
import random
import struct
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.network.link_process import shared
from testbed.network.link_process.shared import FIELDS, MAX_LINKS, Block
from tests import ROOT


@pytest.fixture
def block() -> Iterator[Block]:
    made, descriptor = Block.create()
    yield made
    os.close(descriptor)
    made.close()


def test_what_is_written_for_a_direction_is_read_by_another_process_s_map() -> None:
    writer, descriptor = Block.create()
    reader = Block(descriptor)
    os.close(descriptor)
    for direction in (0, 1, 2 * MAX_LINKS - 1):
        writer.write(direction, range(direction, direction + len(FIELDS)))
    writer.socket_dropped_frames, writer.clock_jumps = 5, 6
    assert reader.read(0) == tuple(range(len(FIELDS)))
    assert reader.read(1) == tuple(range(1, 1 + len(FIELDS)))
    assert reader.read(2) == (0,) * len(FIELDS)
    assert reader.read(2 * MAX_LINKS - 1)[0] == 2 * MAX_LINKS - 1
    assert (reader.socket_dropped_frames, reader.clock_jumps) == (5, 6)
    for one in (reader, writer):
        one.close()


WRITER = """
import itertools, sys
sys.path.append(sys.argv[1])
from testbed.network.link_process import shared
from testbed.network.link_process.shared import FIELDS, Block
block = Block(int(sys.argv[2]))
for value in itertools.count():
    block.write(3, [value] * len(FIELDS))
"""


def test_a_reader_never_takes_half_of_a_change_for_a_reading() -> None:
    block, descriptor = Block.create()
    writer = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", WRITER, str(ROOT), str(descriptor)], pass_fds=[descriptor]
    )
    os.close(descriptor)
    try:
        deadline = time.monotonic() + 30
        while block.read(3)[0] == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        seen = [block.read(3) for _ in range(100_000)]
    finally:
        writer.kill()
        writer.wait()
        block.close()
    assert all(len(set(one)) == 1 for one in seen)
    assert seen == sorted(seen)
    assert len(set(seen)) > 1


def test_a_writer_that_stopped_in_the_middle_is_said(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "PATIENCE_S", 0.01)
    block.write(0, [1] * len(FIELDS))
    with pytest.raises(struct.error):
        block.write(0, ["no number"] * len(FIELDS))  # type: ignore[list-item]
    with pytest.raises(OSError, match="stopped while it wrote its counts"):
        block.read(0)


@given(st.lists(st.integers(-5, 10**12), min_size=1, max_size=300))
def test_percentiles_are_within_a_sixteenth_and_the_maximum_is_exact(late_ns: list[int]) -> None:
    block, descriptor = Block.create()
    os.close(descriptor)
    histogram = block.histogram(1)
    for one in late_ns:
        histogram.add(one)
    ranked = sorted(max(one, 0) for one in late_ns)
    assert (histogram.count, histogram.max_ns) == (len(ranked), ranked[-1])
    for percent in (1, 50, 99, 100):
        exact = ranked[max(1, -(-len(ranked) * percent // 100)) - 1]
        assert exact <= histogram.percentile_ns(percent / 100) <= exact * 17 / 16
    assert block.histogram(0).count == 0


def test_of_nothing_every_percentile_is_0_and_clearing_comes_back_to_that(block: Block) -> None:
    histogram = block.histogram(0)
    assert (histogram.percentile_ns(0.99), histogram.max_ns, histogram.count) == (0, 0, 0)
    for _ in range(100):
        histogram.add(random.randrange(10**9))
    block.histogram(1).add(7)
    histogram.clear()
    assert (histogram.percentile_ns(0.99), histogram.max_ns, histogram.count) == (0, 0, 0)
    assert block.histogram(1).max_ns == 7


def test_the_process_imports_the_standard_library_and_its_own_package_alone() -> None:
    script = (
        f"import sys, json; sys.path.append({str(ROOT)!r}); import testbed.network.link_process.loop; "
        "print(json.dumps({name: getattr(one, '__file__', None) for name, one in sys.modules.items()}))"
    )
    said = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    modules: dict[str, str | None] = json.loads(said.stdout)
    ours = {name for name in modules if name.split(".")[0] == "testbed"}
    package = "testbed.network.link_process"
    assert f"{package}.core" in ours
    others = {name for name in ours if not f"{name}.".startswith(f"{package}.")}
    assert others == {"testbed", "testbed.network"}
    foreign = {name.split(".")[0] for name in modules} - sys.stdlib_module_names - {"testbed", "__main__"}
    assert foreign == set()
    assert not any("site-packages" in (file or "") for file in modules.values())


def test_started_as_a_directory_without_site_packages_it_finds_itself() -> None:
    ended = subprocess.run(
        [sys.executable, "-I", "-S", str(ROOT / "testbed" / "network" / "link_process")],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "IndexError" in ended.stderr  # it is given no descriptors, and got as far as asking for them
    assert "ModuleNotFoundError" not in ended.stderr
