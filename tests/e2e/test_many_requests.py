"""Nothing is lost in a long run: each request has one outcome, and each byte a cause."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.runs import check_bytes, read, run

REQUESTS, RATE_PER_S = 2000, 70


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_thousand_requests_lose_neither_a_byte_nor_an_outcome(tmp_path: Path) -> None:
    out = tmp_path / "run"
    rate = ("--set", f"trace.arrivals.rate={RATE_PER_S}")
    done = run(out, "--methods", "recserve", "--requests", str(REQUESTS), *rate)
    assert done.returncode == 0, done.stderr
    rows = read(out, "requests.parquet")
    assert set(Counter(row["request_id"] for row in rows).values()) == {1}
    assert len(rows) == REQUESTS
    assert Counter(row["outcome"] for row in rows) == {"answered": REQUESTS}
    assert min(row["frame_bytes"] for row in check_bytes(out)) > 0
    faithful = read(out, "fidelity.json")["faithful"]
    assert (faithful["bytes"], faithful["decisions"], faithful["quality"]) == (True, True, True)
