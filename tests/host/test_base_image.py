"""The base image is made wherever the cache is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from testbed.host.base_image import PLAIN, at_plain_path


@pytest.mark.root
def test_what_makes_the_base_sees_a_path_that_a_shell_reads_well(tmp_path: Path) -> None:
    target = tmp_path / """a tést, "q" $HOME `x`:b"""
    target.mkdir()
    before = sorted(Path(PLAIN).iterdir())
    made = subprocess.run(at_plain_path(target, ["touch", f"{PLAIN}/made", f"{PLAIN}/b c"]), check=False)
    assert made.returncode == 0
    assert sorted(path.name for path in target.iterdir()) == ["b c", "made"]
    assert sorted(Path(PLAIN).iterdir()) == before
    assert subprocess.run(at_plain_path(target, ["false"]), check=False).returncode == 1
