"""Three tiers of made classifiers whose confidence knows something of their answers, and a study of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from testbed.scenario.matrix import Matrix, ModelAnswers
from testbed.study.what_if.grid import grid
from testbed.study.what_if.matrices import Wanted, study_of_matrices
from testbed.study.what_if.study import Point, Study
from tests.scenario.matrix.made import LABELS, classifier, matrix

STRENGTHS = {"device": 0.8, "edge": 1.3, "cloud": 2.0}
"""By tier, how far its logits lie to the right side, on average; their standard deviation is 1."""


def made_matrix(rows: int, tiers: Sequence[str] = tuple(STRENGTHS), first: int = 0) -> Matrix:
    """The same for the same arguments; prompts have 20 to 200 bytes."""
    draws = random.Random("what-if")
    prompts = [f"film {row} {'word ' * draws.randrange(2, 38)}".strip() for row in range(first, first + rows)]
    references = [draws.choice(LABELS) for _ in prompts]
    return matrix(
        *(_model(tier, references, draws) for tier in tiers),
        prompts=prompts,
        rows=range(first, first + rows),
        references=references,
    )


def _model(tier: str, references: Sequence[str], draws: random.Random) -> ModelAnswers:
    logits = []
    for reference in references:
        right = draws.gauss(STRENGTHS.get(tier, 1.0), 1.0)
        logits.append([right, 0.0] if reference == LABELS[0] else [0.0, right])
    return classifier(tier, logits)


def made_study(
    rows: int,
    *,
    nodes: str = "2,1,1",
    requests: int | None = None,
    seed: int = 1,
    calibration: int | None = None,
) -> Study:
    """A study of :func:`made_matrix`."""
    wanted = Wanted(nodes=nodes, requests=requests, seed=seed, calibration=calibration)
    return study_of_matrices([(Path("made.parquet"), made_matrix(rows))], wanted)


def points_of(study: Study, policy: str, *settings: str) -> list[Point]:
    """A grid of one policy."""
    return grid([policy], settings, study.scenario, len(study.trace))
