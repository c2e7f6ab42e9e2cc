"""A page as a real browser draws it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from testbed.report.figures.figure import Figure


def drawn_by_browser(page: Path, figures: Sequence[Figure]) -> str:
    """The page's document once its scripts have run, in which each of the figures is drawn."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    assert browser is not None, "no chromium here; testbed/provision.sh --tests installs it"
    profile = f"--user-data-dir={page.parent.parent / 'browser'}"
    options = ["--headless", "--no-sandbox", "--disable-gpu", profile, "--virtual-time-budget=20000"]
    command = [browser, *options, "--dump-dom", page.as_uri()]
    drawn = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stdout
    assert "cannot be drawn" not in re.sub(r"<script>.*?</script>", "", drawn, flags=re.DOTALL)
    for figure in figures:
        chart = re.search(rf'id="figure-{figure.name}"[^>]*>(.*?)</figure>', drawn, re.DOTALL)
        assert chart is not None
        assert "<svg" in chart[1]
        assert "<path" in chart[1]
    return drawn
