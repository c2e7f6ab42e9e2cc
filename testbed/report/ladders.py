"""How good the embedded translation ladder is: its table, and whether each model beats the one below."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from rich.table import Table

from testbed.host.embedded.translation.ladder import Size
from testbed.results.quality import Scored


def translation_table(
    dataset: str, count: int, scored: Sequence[tuple[Size, Scored | None, Scored | None]]
) -> Table:
    """A row for each size with its BLEU and chrF; intervals as far as there are enough sentences."""
    table = Table(title=f"Demonstration models, held-out {dataset}", title_justify="left")
    for column in ("model", "layers", "weights MB", "sentences", "BLEU [95 % CI]", "chrF [95 % CI]"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for size, bleu, chrf in scored:
        megabytes = f"{size.weights.stat().st_size / 1e6:.2f}"
        table.add_row(size.name, size.layers, megabytes, str(count), _shown(bleu), _shown(chrf))
    return table


def _shown(score: Scored | None) -> str:
    if score is None:
        return "n/v"
    if score.interval is None:
        return f"{score.score:.2f}"
    low, high = score.interval
    return f"{score.score:.2f} \\[{low:.2f}, {high:.2f}]"


def rising_sentence(scores: Sequence[tuple[str, Scored | None]]) -> str:
    """Say whether BLEU rises strictly from each model to the next, and whether the intervals are apart."""
    flat, touching = [], []
    for (lower, below), (upper, above) in pairwise(scores):
        if below is None or above is None or above.score <= below.score:
            flat.append(f"{lower} to {upper}")
        elif below.interval is None or above.interval is None or above.interval.low <= below.interval.high:
            touching.append(f"{lower} and {upper}")
    if flat:
        return f"BLEU does not rise from {', '.join(flat)}"
    if touching:
        return f"BLEU rises strictly; the intervals are not apart for {', '.join(touching)}"
    return "BLEU rises strictly, and the intervals are apart"
