"""A node tells of its records in lines: whoever misses some notices it, and telling takes little memory."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from tests import ROOT
from tests.tiers.clients import impatient
from tests.tiers.held_records import record
from tests.tiers.nodes import HOST, records_at
from tiers.connections import Limits
from tiers.records import Records, told_in_lines

COUNT = 50_000
BESIDE_BYTES = 20 << 20
"""What telling of them may take beside them; as one JSON they took 170 MiB."""


@contextmanager
def holding(count: int) -> Iterator[tuple[int, int]]:
    """Process id and port of a node that has so many records."""
    command = [sys.executable, "-m", "tests.tiers.held_records", str(count)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.pid, int(process.stdout.readline())
        finally:
            process.kill()


def highest_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def test_what_a_node_keeps_is_not_walked_by_each_garbage_collection() -> None:
    kept = Records(COUNT)
    walked = len(gc.get_objects())
    try:
        for number in range(COUNT):
            kept.add(record(number))
        assert len(kept.all()) == COUNT
        assert len(gc.get_objects()) < walked + COUNT / 10
    finally:
        gc.unfreeze()


def test_what_there_was_before_a_method_is_not_walked_either() -> None:
    with impatient(Limits()) as (_, service):
        try:
            assert len(gc.get_objects()) > 10_000
            service.reset("recserve", service.config.policy)
            assert len(gc.get_objects()) < 1000
        finally:
            gc.unfreeze()


def test_records_are_lines_and_the_last_says_how_many_they_are() -> None:
    records = [record(number) for number in range(250)]
    lines = b"".join(told_in_lines(records)).splitlines()
    assert [json.loads(line) for line in lines] == [*(one.as_json() for one in records), {"records": 250}]
    assert b"".join(told_in_lines([])) == b'{"records":0}\n'


def test_telling_of_many_records_takes_little_memory_beside_them() -> None:
    with holding(COUNT) as (pid, port):
        before = highest_bytes(pid)
        assert len(records_at(port)) == COUNT
        assert highest_bytes(pid) - before < BESIDE_BYTES


def test_who_does_not_take_them_costs_no_memory_either() -> None:
    with holding(COUNT) as (pid, port):
        before = highest_bytes(pid)
        idle = HTTPConnection(HOST, port, timeout=20)
        idle.request("GET", "/control/records")
        assert idle.getresponse().read(1000).startswith(b'{"request_id":')
        assert len(records_at(port)) == COUNT  # others are told meanwhile
        assert highest_bytes(pid) - before < BESIDE_BYTES
        idle.close()
