"""Prints the frames of a link, or of one request on it, with the cause of each of their bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import chain

from rich.console import Console
from rich.table import Table
from rich.text import Text

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.report.captures import Capture
from testbed.report.cells import table
from testbed.scenario.topology import DIRECTIONS, Direction
from testbed.wire.parts import BYTE_PARTS
from testbed.wire.seek import trace_request
from testbed.wire.trace import trace
from testbed.wire.traced_frame import Frame

STYLES = {
    "prompt_bytes": "bold green",
    "answer_bytes": "bold cyan",
    "envelope_bytes": "yellow",
    "instrumentation_bytes": "magenta",
    "http_header_bytes": "blue",
    "packet_header_bytes": "bright_black",
    "tcp_control_bytes": "bright_black",
    "retransmitted_bytes": "bold red",
    "other_bytes": "red",
}
"""How the bytes of each cause are shown on a terminal."""

_FLAGS = "FSRPAUEC"
"""By bit, from the lowest (RFC 9293, section 3.1)."""
_COLUMNS = ("time s", "dir", "bytes", "flags", "seq", "ack", "request")
_LINE = "{:>12}  {:4}  {:>5}  {:5}  {:>10}  {:>10}  {:12}  "
_SHOWN_BYTES = 64_000_000
_MEGABYTE = 1_000_000

Sums = dict[Direction, Counter[str]]
"""Bytes by cause, and ``frames``, by direction."""


def print_packets(
    capture: Capture,
    console: Console,
    reporter: Reporter,
    *,
    request_id: str | None = None,
    direction: Direction | None = None,
    limit: int | None = None,
) -> None:
    """Print a line for each frame, and the sums of all frames beside the run's tables.

    Args:
        request_id: only frames that carry bytes of this request, repeat or acknowledge them; what they carry
            of others is left out.
        direction: only frames that go this way.
        limit: print so many frames at most; the sums are of all.

    Raises:
        TestbedError: the capture is damaged, there is no such request, or the sums are not the run's.
    """
    ways = DIRECTIONS if direction is None else (direction,)
    sums: Sums = {way: Counter() for way in ways}
    start_ns, shown = capture.started_ns, 0
    for frame in _frames(capture, request_id, reporter):
        start_ns = frame.time_ns if start_ns is None else start_ns
        if frame.direction not in ways:
            continue
        sums[frame.direction] += frame.bytes_by_cause(request_id) + Counter(frames=1)
        shown += 1
        if limit is None or shown <= limit:
            if shown == 1:
                console.print(Text(f"{capture.method}, {capture.link}; {capture.note}"), soft_wrap=True)
                console.print(Text(_LINE.format(*_COLUMNS) + "bytes by cause"), soft_wrap=True)
            console.print(_line(frame, start_ns, request_id), soft_wrap=True)
    if limit is not None and shown > limit:
        console.print(f"and {shown - limit:,} more frames, which the sums below have in them")
    expected = _expected(capture, request_id, ways)
    console.print(sums_table(sums, expected))
    for (way, cause), size_bytes in expected.items():
        if sums[way][cause] != size_bytes:
            raise TestbedError(
                f"{capture.pcap}: holds {sums[way][cause]:,} bytes {way} of {_name(cause)}, and the run's "
                f"tables say {size_bytes:,}: capture and tables are not of one run"
            )


def _frames(capture: Capture, request_id: str | None, reporter: Reporter) -> Iterator[Frame]:
    """The frames to print, in the capture's order."""
    pcap, ends = capture.pcap, capture.ends
    if request_id is None:
        yield from trace(pcap, ends)
        return
    texts = capture.request_bytes(request_id)
    size_mb = pcap.stat().st_size // _MEGABYTE
    what = f"looking for {request_id} in {size_mb} MB"
    bar = reporter.counting(what, size_mb) if size_mb * _MEGABYTE >= _SHOWN_BYTES else nullcontext(None)
    with bar as count:

        def progress(read_bytes: int) -> None:
            if count is not None:
                count(read_bytes // _MEGABYTE, size_mb)

        found = list(trace_request(pcap, ends, request_id, progress))
        if (
            _texts(found, request_id) != texts
        ):  # which a quick search may miss, and reading all of it does not
            found = [frame for frame in trace(pcap, ends, progress) if request_id in frame.requests]
    yield from found


def _texts(frames: list[Frame], request_id: str) -> tuple[int, int]:
    """Prompt and answer bytes of a request in these frames."""
    sums = sum((frame.bytes_by_cause(request_id) for frame in frames), Counter[str]())
    return sums["prompt_bytes"], sums["answer_bytes"]


def _expected(
    capture: Capture, request_id: str | None, ways: tuple[Direction, ...]
) -> dict[tuple[Direction, str], int]:
    """What the run's tables say of these bytes, by direction and cause."""
    if request_id is None:
        links = capture.links
        return {(way, cause): links[way][cause] for way in ways if way in links for cause in BYTE_PARTS}
    prompt_bytes, answer_bytes = capture.request_bytes(request_id)
    texts: dict[tuple[Direction, str], int] = {
        ("up", "prompt_bytes"): prompt_bytes,
        ("down", "answer_bytes"): answer_bytes,
    }
    return {(way, cause): size for (way, cause), size in texts.items() if way in ways}


def _line(frame: Frame, start_ns: int, request_id: str | None) -> Text:
    flags = "".join(letter for bit, letter in enumerate(_FLAGS) if frame.flags >> bit & 1)
    seq = "" if frame.kind else str(frame.seq)
    ack = "" if frame.ack is None else str(frame.ack)
    time_s = f"{(frame.time_ns - start_ns) / 1e9:.6f}"
    requests = request_id or "+".join(sorted(frame.requests))
    line = Text(_LINE.format(time_s, frame.direction, frame.length, frame.kind or flags, seq, ack, requests))
    causes = frame.bytes_by_cause(request_id)
    parts = [Text(f"{_name(cause)} {causes[cause]}", STYLES[cause]) for cause in BYTE_PARTS if causes[cause]]
    return line + Text(", ").join(parts)


def sums_table(sums: Sums, expected: dict[tuple[Direction, str], int]) -> Table:
    """Bytes by cause and direction, beside what the run's tables say."""
    ways = list(sums)
    made = table("Bytes by cause", ["cause"], chain.from_iterable((way, "in the tables") for way in ways))
    for cause in BYTE_PARTS:
        cells = []
        for way in ways:
            size_bytes = expected.get((way, cause))
            cells += [f"{sums[way][cause]:,}", "" if size_bytes is None else f"{size_bytes:,}"]
        made.add_row(Text(_name(cause), STYLES[cause]), *cells)
    made.add_section()
    totals = [sum(sums[way][cause] for cause in BYTE_PARTS) for way in ways]
    made.add_row("all", *chain.from_iterable((f"{total:,}", "") for total in totals))
    made.add_row("frames", *chain.from_iterable((f"{sums[way]['frames']:,}", "") for way in ways))
    return made


def _name(cause: str) -> str:
    """A cause as it is printed: ``http headers`` for ``http_header_bytes``."""
    name = cause.removesuffix("_bytes").replace("_", " ")
    return f"{name}s" if name.endswith("header") else name
