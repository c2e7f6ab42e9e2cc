"""docs/notebook.ipynb executed anew: what is the same in each run is what it shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT
from tests.docs.notebook import KEPT, PAGE, PICTURE, VARIES, as_page, code_cells, execute

LARGEST = 300_000


def shown(cell: dict[str, Any]) -> list[tuple[str, str]]:
    """By kind, what a cell's outputs say in text."""
    outputs = []
    for output in cell["outputs"]:
        if output["output_type"] == "stream":
            outputs.append(("stdout", "".join(output["text"])))
        else:
            outputs += [(kind, "".join(text)) for kind, text in output["data"].items()]
    return outputs


def read(path: Path) -> dict[str, Any]:
    notebook: dict[str, Any] = json.loads(path.read_text())
    return notebook


def test_it_is_small_whole_and_executed_from_top_to_bottom() -> None:
    notebook = read(KEPT)
    assert KEPT.stat().st_size < LARGEST
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    cells = code_cells(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert "image/png" in dict(shown(cells[-1]))
    assert sum(not varies(cell) for cell in cells if cell["outputs"]) >= 4


def test_the_page_is_the_notebook_as_it_is_kept() -> None:
    """``python -m tests.docs.notebook --page`` makes it anew."""
    page, picture = as_page(read(KEPT))
    assert PAGE.read_text() == page
    assert PICTURE.read_bytes() == picture
    assert page.count("```python\n") == len(code_cells(read(KEPT)))
    assert "<style" not in page


def varies(cell: dict[str, Any]) -> bool:
    return VARIES in cell["metadata"].get("tags", [])


def test_cells_share_names_and_show_what_they_print_and_their_last_value() -> None:
    sources = ["x = 6 * 7\nprint('so', x)", "x + 1", "y = x"]
    notebook = {"cells": [{"cell_type": "code", "source": [source]} for source in sources]}
    execute(notebook)
    assert [shown(cell) for cell in code_cells(notebook)] == [
        [("stdout", "so 42\n")],
        [("text/plain", "43")],
        [],
    ]


@pytest.mark.docker
def test_executed_anew_it_shows_the_same(tmp_path: Path) -> None:
    out = tmp_path / "anew.ipynb"
    done = subprocess.run(
        [sys.executable, "-m", "tests.docs.notebook", "--out", str(out)],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    kept, anew = code_cells(read(KEPT)), code_cells(read(out))
    for before, after in zip(kept, anew, strict=True):
        assert before["source"] == after["source"]
        if varies(before):
            assert [kind for kind, _ in shown(before)] == [kind for kind, _ in shown(after)]
        else:
            assert shown(before) == shown(after)
