"""What was published of a claim, in words, and what follows from it by our own arithmetic."""

from __future__ import annotations

from testbed.report.published import IMDB, PUBLISHED, published_burden

THEORY = 0.3 * (1 + 0.3)
"""The paper's burden at β = 0.3 over three tiers, if length and confidence are independent."""


def by_dataset(*points: tuple[str, float | None], least: int = 2) -> dict[str, str]:
    """The paper's quality and communication at points, in words: by data set, and by kind of task.

    Args:
        points: policy and β.
        least: of a data set of which fewer points are known there is nothing.
    """
    kinds = {"classification": (IMDB, "yelp_polarity"), "translation": ("wmt19",)}
    names = {IMDB: "IMDB", "yelp_polarity": "Yelp", "wmt19": "WMT19"}
    known = {
        dataset: _published(dataset, *points)
        for dataset in names
        if sum((dataset, *point) in PUBLISHED for point in points) >= least
    }
    for kind, datasets in kinds.items():
        if texts := [f"{names[dataset]}: {known[dataset]}" for dataset in datasets if dataset in known]:
            known[kind] = ". ".join(texts)
    return known


def longer() -> dict[str, str]:
    """By how much what went up was longer than the mean, as published burdens let conclude, in words."""
    of = {name: published_burden(dataset, "recserve", 0.3)
          for name, dataset in (("IMDB", IMDB), ("Yelp", "yelp_polarity"), ("WMT19", "wmt19"))}  # fmt: skip
    first, second = (f"{float(of[name]) / THEORY:.2f}" for name in ("IMDB", "Yelp"))
    assert first == second
    return {
        "classification": f"{first}: the published burdens {of['IMDB']} (IMDB) and {of['Yelp']} (Yelp) over "
        f"theory's {THEORY:.3f}",
        "translation": f"below 1: the published burden {of['WMT19']} (WMT19) over theory's {THEORY:.3f}",
    }


def _published(dataset: str, *points: tuple[str, float | None]) -> str:
    """A data set's points, as far as they are known."""
    names = {
        "recserve": "RecServe",
        "casserve": "CasServe",
        "colserve": "ColServe",
        "cloud-only": "CloudServe",
    }
    told = []
    for policy, beta in points:
        if (figures := PUBLISHED.get((dataset, policy, beta))) is not None:
            name = names[policy] + ("" if beta is None else f" β = {beta:g}")
            name += f" ({figures.setting})" if figures.setting else ""
            burden = published_burden(dataset, policy, beta)
            derived = f" ({burden} of CloudServe's, ours)" if burden else ""
            told.append(f"{name} {figures.quality}, {figures.communication}{derived}")
    return "; ".join(told)
