"""What the RecServe paper has of an experiment, beside what a run measured of it (arXiv:2505.16502).

Each figure has a mark: ``note`` is from notes that others made of the paper's text, not seen in the paper
itself. The rest of the paper's tables was not found, and stands as a dash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from testbed.report.cells import if_valid, not_valid, number, table
from testbed.results.columns import Row
from testbed.results.scorers import Scorer

IMDB = "stanfordnlp/imdb"
WHOLE_SETS = {
    "sst2": 872,
    IMDB: 25_000,
    "cornell-movie-review-data/rotten_tomatoes": 1_066,
    "yelp_polarity": 38_000,
    "amazon_polarity": 400_000,
    "wmt16": 2_999,
    "wmt19": 2_998,
    "opus100": 2_000,
}
"""The paper's eight data sets, and how many rows their evaluation splits have."""


@dataclass(frozen=True)
class Published:
    """What the paper has of a method on a data set: quality and communication as it prints them.

    Attributes:
        setting: which of the method's settings it is, if the paper has several.
        burden: the communication as a share of cloud-only's, where it is known although cloud-only's own is
            not; derived by us.
    """

    quality: str
    communication: str
    mark: str = "note"
    setting: str = ""
    burden: str = ""


PUBLISHED: dict[tuple[str, str, float | None], Published] = {
    (IMDB, "recserve", 0.1): Published("≈ 92.3 %", "< 10 MB"),
    (IMDB, "recserve", 0.3): Published("93.74 %", "29.22 MB"),
    (IMDB, "recserve", 0.5): Published("≈ 94.2 %", "> 50 MB"),
    (IMDB, "casserve", None): Published("93.32 %", "30.70 MB", setting="setting 2"),  # thresholds not known
    (IMDB, "cloud-only", None): Published("94.25 %", "60.82 MB"),
    ("yelp_polarity", "recserve", 0.3): Published("96.06 %", "24.78 MB"),
    ("yelp_polarity", "cloud-only", None): Published("96.54 %", "51.80 MB"),
    ("wmt19", "recserve", 0.3): Published("26.85", "449.06 KB", burden="about 0.31"),
    ("wmt19", "casserve", None): Published("25.75", "503.30 KB"),
    ("wmt19", "colserve", None): Published("26.52", "557.26 KB"),
}
"""By data set, policy and, of RecServe, β."""

AS_PUBLISHED = {"window": 10_000, "start": "cold", "enter": "before", "scope": "node"}
"""How RecServe's windows are in the authors' code."""


def published_burden(dataset: str, policy: str, beta: float | None) -> str:
    """A published communication as a share of cloud-only's, derived by us; empty if that is not known.

    The sign of a figure that is a bound is kept: ``< 0.164``.
    """
    figures, cloud = PUBLISHED.get((dataset, policy, beta)), PUBLISHED.get((dataset, "cloud-only", None))
    if figures is None or policy == "cloud-only":
        return ""
    if cloud is None:
        return figures.burden
    *sign, amount, unit = figures.communication.split()
    whole, unit_of_whole = cloud.communication.split()
    assert unit == unit_of_whole
    return " ".join([*sign, f"{float(amount) / float(whole):.3f}"])


def published_tables(summary: Row, scenario: Row, scorer: Scorer) -> list[Table]:
    """Measured and published figures, a line for each method; none of a data set that the paper has not.

    Args:
        summary: the run's ``summary.json``.
        scenario: the scenario in its manifest.
        scorer: of the scenario's kind of task.
    """
    dataset = scenario["task"]["dataset"]
    name = dataset["name"] if isinstance(dataset, dict) else dataset
    if name not in WHOLE_SETS:
        return []
    faithful, unit = summary["faithful"], ("KiB" if scorer.key == "bleu" else "MiB")
    compared = table(
        f"Beside the paper's figures of {name}",
        ["method"],
        [scorer.heading, "published", f"burden as the paper's, {unit}", "published", "mark"],
    )
    for method in scenario["methods"]:
        if method["name"] not in summary["methods"]:  # the run ended before
            continue
        figures, known = summary["methods"][method["name"]], _known(name, method)
        quality, burden = figures[scorer.key], figures.get("burden_paper_bytes")
        compared.add_row(
            method["name"],
            if_valid(_quality(quality, scorer), faithful["quality"]),
            known.quality if known else "-",
            number(None if burden is None else burden / (1024 if unit == "KiB" else 1 << 20), ".2f"),
            known.communication if known else "-",
            known.mark if known else "-",
        )
    compared.caption = Text("\n".join([*_notes(name, summary), *not_valid(faithful, "quality")]))
    return [compared]


def _known(dataset: str, method: dict[str, Any]) -> Published | None:
    """What the paper has of this very method: one that relays, or has another window, is another."""
    policy = method["policy"]
    if method.get("relay") or any(method.get(key, value) != value for key, value in AS_PUBLISHED.items()):
        return None
    return PUBLISHED.get((dataset, policy, method.get("beta") if policy == "recserve" else None))


def _quality(score: float | None, scorer: Scorer) -> str:
    if scorer.key == "accuracy":
        return number(score, ".2%").replace("%", " %")
    return number(score, ".2f")


def _notes(name: str, summary: Row) -> Sequence[str]:
    notes = [
        "published: arXiv:2505.16502, N = 10,000; its MB are MiB; -: not known; "
        "mark note: from others' notes of the paper, not seen in it",
        "casserve's and colserve's settings there are not known",
    ]
    requests = max((figures["requests"] for figures in summary["methods"].values()), default=0)
    if requests < WHOLE_SETS[name]:
        notes.append(f"measured: {requests:,} requests, of {WHOLE_SETS[name]:,} rows of the whole set")
    return notes
