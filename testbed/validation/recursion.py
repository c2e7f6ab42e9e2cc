"""Does recursion pay? RecServe against sending up as many requests at random, from recorded translations.

    testbed models evaluate translation --record answers
    python -m testbed.validation.recursion answers

Nothing is run: each tier is the file of its recorded answers, and the policy is the tiers' own.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from testbed.errors import TestbedError
from testbed.host.embedded.translation.ladder import SIZES
from testbed.results.quality import bleu_counts, bleu_of
from testbed.results.statistics import CONFIDENCE, RESAMPLES, Interval
from testbed.scenario.workload.datasets import load
from tiers.errors import ConfigError
from tiers.models.recorded import read_recordings
from tiers.policies import Place, make_policy

BETAS = (0.1, 0.3, 0.5, 0.7)
WINDOW = 10_000
SEED = 1


@dataclass(frozen=True)
class Recorded:
    """What each tier made of each request: rows of BLEU's counts, and confidences; lowest tier first.

    ``counts`` has the shape (tiers, requests, 10), ``confidences`` (tiers, requests); ``prompt_bytes`` are of
    the requests' texts in UTF-8.
    """

    counts: NDArray[np.int64]
    confidences: NDArray[np.float64]
    prompt_bytes: NDArray[np.int64]


@dataclass(frozen=True)
class Comparison:
    """One β: requests served by each tier, both BLEUs, and the paired difference with its interval.

    ``control`` is the mean over as many random draws as there are resamples. ``bytes_sent_up`` is
    E[bytes | offloaded by the lowest tier] / E[bytes].
    """

    beta: float
    served_by: tuple[int, ...]
    recserve: float
    control: float
    difference: Interval
    bytes_sent_up: float


def read(folder: Path, dataset: str = "debian_en_de") -> Recorded:
    """The recorded answers in ``folder``, in a random order that is the same for all tiers.

    Raises:
        TestbedError: a file is missing, or lacks a sentence of the data set.
    """
    examples = load(dataset, "test")
    order = np.random.default_rng(SEED).permutation(len(examples))
    examples = tuple(examples[at] for at in order)
    counts, confidences = [], []
    for name in SIZES:
        path = folder / f"{name}.jsonl"
        try:
            recordings = read_recordings(path, ())
        except ConfigError as error:
            raise TestbedError(
                f"{path}: no recorded answers ({error}); make them: models evaluate translation --record"
            ) from error
        rows = [row for example in examples if (row := recordings.of(example.text)) is not None]
        if len(rows) < len(examples):
            raise TestbedError(f"{path}: lacks sentences of {dataset}; record without --limit")
        counts.append(bleu_counts([row.answer for row in rows], [example.reference for example in examples]))
        confidences.append([row.confidence for row in rows])
    sizes = [len(example.text.encode()) for example in examples]
    return Recorded(np.array(counts), np.array(confidences), np.array(sizes))


def served_levels(recorded: Recorded, beta: float) -> NDArray[np.int64]:
    """The tier, from 0, that keeps each request under RecServe, one request after the other."""
    tiers = tuple(SIZES)[: len(recorded.confidences)]
    spec = {"policy": "recserve", "beta": beta, "window": WINDOW}
    policies = [make_policy(spec, Place(tier, tier, tiers)) for tier in tiers[:-1]]
    levels = []
    for confidences in recorded.confidences.T:
        level = 0
        while level < len(policies) and not policies[level].decide(float(confidences[level])).keep:
            level += 1
        levels.append(level)
    return np.array(levels)


def compare(recorded: Recorded, beta: float) -> Comparison:
    """RecServe with ``beta`` against the same number of requests for each tier, drawn at random.

    Each resample draws requests with replacement and draws the control anew, so that the interval has the
    chance of both.
    """
    levels = served_levels(recorded, beta)
    requests = np.arange(len(levels))
    chosen = recorded.counts[levels, requests]
    chance = np.random.default_rng(SEED)
    controls, differences = [], []
    for _ in range(RESAMPLES):
        control = recorded.counts[chance.permutation(levels), requests]
        weights = chance.multinomial(len(levels), np.full(len(levels), 1 / len(levels)))
        controls.append(bleu_of(control.sum(axis=0)))
        differences.append(bleu_of(weights @ chosen) - bleu_of(weights @ control))
    low, high = np.quantile(differences, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    sent_up = levels > 0
    return Comparison(
        beta,
        tuple(np.bincount(levels, minlength=len(recorded.counts)).tolist()),
        bleu_of(chosen.sum(axis=0)),
        float(np.mean(controls)),
        Interval(float(low), float(high)),
        float(recorded.prompt_bytes[sent_up].mean() / recorded.prompt_bytes.mean()),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a row for each β."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("answers", type=Path, help="directory of the recorded answers")
    recorded = read(parser.parse_args(arguments).answers)
    table = Table(title=f"{recorded.counts.shape[1]} sentences, window {WINDOW}", title_justify="left")
    for column in ("β", "served by " + "/".join(SIZES), "RecServe", "at random", "difference", "bytes"):
        table.add_column(column, justify="right")
    for beta in BETAS:
        found = compare(recorded, beta)
        low, high = found.difference
        table.add_row(
            str(beta),
            "/".join(map(str, found.served_by)),
            f"{found.recserve:.2f}",
            f"{found.control:.2f}",
            f"{found.recserve - found.control:+.2f} \\[{low:+.2f}, {high:+.2f}]",
            f"{found.bytes_sent_up:.2f}",
        )
    console = Console()
    console.width = max(console.width, 110)
    console.print(table)


if __name__ == "__main__":
    main()
