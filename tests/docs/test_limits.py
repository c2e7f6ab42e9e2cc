"""The numbers of requests that docs/LIMITS.md has are those of the statistics."""

from __future__ import annotations

import re

from testbed.results.statistics import percentile, share_interval
from testbed.study.plan import pairs_needed
from tests import ROOT

PAGE = (ROOT / "docs" / "LIMITS.md").read_text()
ACCURACY = 0.86


def number(text: str) -> int:
    return int(text.replace(",", ""))


def test_an_interval_is_as_wide_as_said() -> None:
    rows = re.findall(r"^\| .*± (0\.\d+) \| ([\d,]+)", PAGE, re.MULTILINE)
    assert len(rows) == 3
    for half, requests in rows:
        interval = share_interval(round(ACCURACY * number(requests)), number(requests))
        assert f"{(interval.high - interval.low) / 2:.3f}" == half


def test_a_percentile_needs_as_many_requests_as_said() -> None:
    rows = re.findall(r"^\| p(\d\d).*?\| (\d+)", PAGE, re.MULTILINE)
    assert len(rows) == 3
    for percent, requests in rows:
        # Values of which neighbours have nothing in common.
        values = [number * 0.6180339887 % 1 for number in range(int(requests))]
        assert percentile(values, int(percent)) is not None
        assert percentile(values[:-1], int(percent)) is None


def test_a_difference_needs_as_many_requests_as_said() -> None:
    ((points, percent, requests),) = re.findall(
        r"a difference of (\d+) percentage points .* on (\d+) % of .* \| ([\d,]+)", PAGE
    )
    assert pairs_needed(int(points) / 100, int(percent) / 100) == number(requests)
