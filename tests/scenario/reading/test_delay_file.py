"""Files of delays: one number of milliseconds a line, and each mistake one sentence with its line."""

from __future__ import annotations

import statistics
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testbed.errors import TestbedError
from testbed.scenario.reading import delay_file
from testbed.scenario.reading.delay_file import median_range_ms, read_delay_file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "some.delays"


@pytest.mark.parametrize(
    ("content", "delays_ms"),
    [
        ("10\n20.5\n0\n", [10, 20.5, 0]),
        ("10", [10]),
        ("1e1\r\n +.5 \r\n60000\n", [10, 0.5, 60_000]),
    ],
)
def test_a_line_is_a_delay_in_milliseconds(file: Path, content: str, delays_ms: list[float]) -> None:
    file.write_bytes(content.encode())
    assert list(read_delay_file(file)) == delays_ms


WRONG = {
    "": ": is empty; write one number of milliseconds a line",
    "1\n\n2\n": ":2: the line is empty; remove it",
    "1\ntwo\n": ":2: 'two' is no number of milliseconds; write one a line, such as 12.5",
    "1 2\n": ":1: '1 2' is no number",
    "1,5\n": ":1: '1,5' is no number",
    "nan\n": ":1: 'nan' is no number",
    "inf\n": ":1: 'inf' is no number",
    "1_000\n": ":1: '1_000' is no number",
    "10ms\n": ":1: '10ms' is no number",
    "5\n-1\n": ":2: '-1' is negative, and no frame arrives before it is sent; write 0 or more",
    "60000.1\n": ":1: '60000.1' is more than 60000 ms",
    "1e999\n": ":1: '1e999' is more than 60000 ms",
    "1" + "0" * 100: ":1: the line is longer than 63 characters",
    "0." + "0" * 100 + "\n": ":1: the line is longer than 63 characters",
    "\0" * 100: ":1: the line is longer than 63 characters",
    "1\n\ufeff10\n": r":2: '\\xef\\xbb\\xbf10' is no number",
}


@pytest.mark.parametrize("content", WRONG)
def test_a_wrong_line_is_one_sentence_with_file_line_and_mend(file: Path, content: str) -> None:
    file.write_text(content)
    with pytest.raises(TestbedError) as caught:
        read_delay_file(file)
    assert str(caught.value).startswith(f"{file}{WRONG[content]}")
    assert "\n" not in str(caught.value)


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    for path, reason in ((tmp_path, "Is a directory"), (tmp_path / "none", "No such file or directory")):
        with pytest.raises(TestbedError, match=f"cannot be read .{reason}.; give a delay file's path"):
            read_delay_file(path)


def test_a_file_that_is_too_long_is_refused_before_it_is_read_to_its_end(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delay_file, "MAX_LINES", 1000)
    file.write_text("1\n" * 100_000)
    with pytest.raises(TestbedError, match=r"some\.delays:1001: a delay file has 1000 lines at most; cut it"):
        read_delay_file(file)


def test_reading_takes_the_memory_of_the_numbers_alone(file: Path) -> None:
    file.write_text("12.25\n" * 200_000)
    tracemalloc.start()
    delays_ms = read_delay_file(file)
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most_bytes < 2.5 * len(delays_ms) * delays_ms.itemsize


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_are_delays_or_one_sentence(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    try:
        delays_ms = read_delay_file(file)
    except TestbedError as error:
        sentence = str(error)
    else:
        assert all(0 <= delay_ms <= 60_000 for delay_ms in delays_ms)
        return
    assert sentence.startswith(str(file))


def test_a_few_delays_in_a_row_have_their_median_in_the_files_range(file: Path) -> None:
    delays_ms = [10 + (number % 300) / 20 for number in range(900)]
    file.write_text("\n".join(map(str, delays_ms)))
    low, high = median_range_ms(file, 50)
    assert 10 < low < 12
    assert 22 < high < 25
    for start in range(0, 900, 7):
        few = (delays_ms * 2)[start : start + 50]
        assert low - 0.4 <= statistics.median(few) <= high + 0.4  # 13 lines further it is another


def test_more_frames_than_lines_go_round(file: Path) -> None:
    file.write_text("10\n20\n30\n40\n")
    low, high = median_range_ms(file, 50)
    assert 10 < low <= 25 <= high < 40
    file.write_text("7\n")
    assert median_range_ms(file, 50) == (7, 7)
