"""The artifact appendix is that of the list of claims, and the page's table one of all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.study.paper.claims import CLAIMS
from testbed.study.paper.ladders import EMBEDDED
from testbed.study.paper.table import HEADS
from tests.study.paper import appendix as module
from tests.study.paper.appendix import KEPT, appendix, kept, rows_of

PAGE = KEPT.read_text()


def test_the_kept_appendix_is_that_of_the_claims() -> None:
    """``python -m tests.study.paper.appendix`` writes it anew."""
    _, section, _ = kept(PAGE)
    assert section.strip() == appendix(PAGE).strip()
    assert section.count("\n### ") == len(CLAIMS) == len({claim.name for claim in CLAIMS})


def test_the_pages_table_has_each_claim_on_each_ladder_and_the_minutes_of_the_appendix() -> None:
    rows, (_, section, _) = rows_of(PAGE), kept(PAGE)
    assert [(row["claim"], row["ladder"]) for row in rows] == [
        (claim.name, ladder.name) for claim in CLAIMS for ladder in EMBEDDED
    ]
    for first, second in zip(rows[::2], rows[1::2], strict=True):
        _, _, of_claim = section.partition(f"\n### {first['claim']}\n")
        assert f"\n- Minutes: classification {first['min']}, translation {second['min']}\n" in of_claim


def test_a_runs_table_takes_the_place_of_the_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, page = tmp_path / "run", tmp_path / "docs" / "PAPER.md"
    for folder in (run / "figures", page.parent / "pictures"):
        folder.mkdir(parents=True)
    row = "| In a sentence. | classification | `make` | 7.5 | x 1 | - | - | **reproduced** |"
    heads = "\n".join("| " + " | ".join(cells) + " |" for cells in (HEADS, ["---"] * len(HEADS)))
    notes = "- minutes: 9.9 in all: here\n- host: a host\n- disk: 1 MB\n"
    (run / "paper.md").write_text(f"{heads}\n{row}\n\n{notes}")
    (run / "paper.json").write_text('[{"claim": "beta"}]')
    for figure in module.PICTURES.values():
        (run / "figures" / f"{figure}.svg").write_text(figure)
    page.write_text(PAGE)
    monkeypatch.setattr(module, "KEPT", page)
    module.write(run)
    written = page.read_text()
    assert rows_of(written) == [
        {
            "claim": "beta", "ladder": "classification", "command": "`make`", "min": "7.5",
            "value [95 %]": "x 1", "published": "-", "mark": "-", "verdict": "**reproduced**",
        }
    ]  # fmt: skip
    assert "- Minutes: classification 7.5\n" in written
    assert "had a host." in written
    assert "- Minutes: 9.9 in all" in written
    assert written.partition(module.END)[2] == PAGE.partition(module.END)[2]
    assert (page.parent / "pictures" / "paper-burden.svg").read_text() == "burden-by-beta"
