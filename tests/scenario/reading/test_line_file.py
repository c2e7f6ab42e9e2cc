"""Text files as programs save them: byte order marks, other line ends, empty last lines, other encodings."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from testbed.errors import TestbedError
from testbed.scenario.reading import line_file
from testbed.scenario.reading.delay_file import read_delay_file
from testbed.scenario.reading.graphml import read_map
from testbed.scenario.reading.rate_file import read_rate_trace
from testbed.scenario.scenario import load_scenario
from testbed.scenario.workload.trace_file import read_trace
from tests import QUICKSTART, ROOT, SCENARIOS
from tiers.models.recorded import read_recordings

BOM = b"\xef\xbb\xbf"
RECORDED = (
    b'{"text": "a", "answer": "x", "confidence": 0.5}\n{"text": "b", "answer": "y", "confidence": 0.5}\n'
)
FILES: dict[str, tuple[bytes, Callable[[Path], Any]]] = {
    "trace": ((ROOT / "traces" / "quickstart.jsonl").read_bytes(), read_trace),
    "rate": (b"1\n2\n", lambda path: list(read_rate_trace(path).opportunities_ms)),
    "delay": (b"1\n2.5\n", lambda path: list(read_delay_file(path))),
    "recorded": (RECORDED, lambda path: read_recordings(path, ["x", "y"])),
    "scenario": (QUICKSTART.read_bytes(), load_scenario),
    "map": (
        (SCENARIOS / "graphs" / "europe.graphml").read_bytes(),
        lambda path: read_map(path).way("London", "Vienna"),
    ),
}
SAVED: dict[str, Callable[[bytes], bytes]] = {
    "with a byte order mark": lambda content: BOM + content,
    "with carriage returns": lambda content: content.replace(b"\n", b"\r\n"),
    "with both": lambda content: BOM + content.replace(b"\n", b"\r\n"),
    "with empty last lines": lambda content: content + b"\n\r\n  \n",
    "without a last line end": lambda content: content.rstrip(b"\n"),
}


@pytest.mark.parametrize("saved", SAVED)
@pytest.mark.parametrize("kind", FILES)
def test_a_file_reads_the_same_however_it_was_saved(tmp_path: Path, kind: str, saved: str) -> None:
    content, read = FILES[kind]
    plain, other = tmp_path / "plain", tmp_path / "other"
    plain.write_bytes(content)
    other.write_bytes(SAVED[saved](content))
    assert read(other) == read(plain)


@pytest.mark.parametrize("kind", ["trace", "rate", "delay", "scenario"])
@pytest.mark.parametrize(
    ("saved", "words"),
    [
        (lambda content: content.decode().encode("utf-16"), "UTF-16"),
        (lambda content: content.decode().encode("utf-32"), "UTF-32"),
        (gzip.compress, "compressed with gzip; unpack it"),
    ],
    ids=["utf-16", "utf-32", "gzip"],
)
def test_what_is_no_utf_8_says_what_it_is_and_how_to_mend_it(
    tmp_path: Path, kind: str, saved: Callable[[bytes], bytes], words: str
) -> None:
    content, read = FILES[kind]
    path = tmp_path / "file"
    path.write_bytes(saved(content))
    with pytest.raises(TestbedError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_map_may_be_utf_16_and_not_compressed(tmp_path: Path) -> None:
    content, read = FILES["map"]
    plain, wide, small = tmp_path / "plain", tmp_path / "wide", tmp_path / "small"
    plain.write_bytes(content)
    wide.write_bytes(content.decode().replace('encoding="utf-8"', 'encoding="utf-16"').encode("utf-16"))
    assert read(wide) == read(plain)
    small.write_bytes(gzip.compress(content))
    with pytest.raises(TestbedError, match="small: is not XML but compressed with gzip; unpack it"):
        read(small)


def test_an_empty_line_between_others_is_still_a_mistake_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "rate"
    path.write_bytes(BOM + b"1\n\n\n2\n")
    with pytest.raises(TestbedError, match=r"rate:2: the line is empty; remove it"):
        read_rate_trace(path)


@pytest.mark.parametrize("kind", ["rate", "delay", "trace"])
def test_empty_lines_without_end_are_not_read_to_their_end(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_file, "MAX_EMPTY_LINES", 100)
    path = tmp_path / "file"
    path.write_bytes(FILES[kind][0] + b"\n" * 1000)
    with pytest.raises(TestbedError, match=r"file:\d+: more than 100 empty lines"):
        FILES[kind][1](path)
