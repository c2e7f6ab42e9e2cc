"""The validation as a whole: on a true emulator everything passes, and what it found is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from testbed.validation.registry import checks
from tests.e2e.runs import run_command


@pytest.mark.root
def test_the_short_validation_passes_whole(tmp_path: Path) -> None:
    out = tmp_path / "validation"
    done = run_command("validate", "--short", "--out", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((out / "validation.json").read_text())
    wrong = [
        (check["name"], figure)
        for check in found["checks"]
        for figure in check["figures"]
        if not figure["ok"]
    ]
    assert wrong == []
    assert found["passed"]
    assert found["verdicts"] == {"pass": len(checks()), "fail": 0, "not run": 0}


@pytest.mark.root
def test_the_checks_that_are_named_run_and_are_kept(tmp_path: Path) -> None:
    out = tmp_path / "validation"
    done = run_command("validate", "--short", "--only", "queue,capture,accounting", "--out", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((out / "validation.json").read_text())
    verdicts = {check["name"]: check["verdict"] for check in found["checks"]}
    assert verdicts == {"queue": "pass", "capture": "pass", "accounting": "pass"}
    assert found["passed"]
    assert json.loads((out / "manifest.json").read_text())["host"]["kernel"] == found["kernel"]
    assert "samples.parquet" in (out / "SHA256SUMS").read_text()
    assert pq.read_table(out / "samples.parquet").column_names[:2] == ["check", "quantity"]
