"""What the command what-if writes beside what it prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.commands.study import what_if
from testbed.errors import TestbedError
from testbed.report.export import FORMATS, MADE_BY
from tests import ROOT

MATRIX = ROOT / "scenarios" / "recorded" / "rotten_tomatoes.parquet"


def test_the_frontier_is_drawn_as_files_for_a_paper(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "figures"
    what_if([MATRIX], policy="recserve", settings=["beta=0.1,0.5,0.9"], requests=60, figures=folder)
    names = sorted([MADE_BY, *(f"frontier.{suffix}" for suffix in (*FORMATS, "csv"))])
    assert sorted(path.name for path in folder.iterdir()) == names
    assert (folder / "frontier.csv").read_text().count("recserve,") == 3
    assert "what-if: 3 points of 60 requests" in (folder / MADE_BY).read_text()


def test_where_there_is_no_frontier_or_no_figure_is_asked_for_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(TestbedError, match="--figures: there is no frontier to draw; give a policy's key"):
        what_if([MATRIX], policy="recserve", requests=60, figures=tmp_path)
    with pytest.raises(TestbedError, match="--width: is about figures; add --figures"):
        what_if([MATRIX], policy="recserve", requests=60, width=3.5)
