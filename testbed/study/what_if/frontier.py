"""Quality against burden of the points of a what-if."""

from __future__ import annotations

import numpy as np

from testbed.results.curves import frontier
from testbed.results.frontier import Asked, Curve, Frontiers, OperatingPoint
from testbed.study.frontiers import Setting, curves_of, too_many
from testbed.study.what_if.evaluate import MAX_KEPT
from testbed.study.what_if.predict import WhatIf
from testbed.study.what_if.study import Ints, Study


def frontiers_of(found: WhatIf) -> Frontiers:
    """The frontier of a what-if; none where no policy has several settings, or answers have no score.

    The lowest and the top tier alone are drawn beside the points, whether or not they are among them.
    """
    study = found.study
    if len(found.points) > MAX_KEPT:
        return Frontiers((), [f"no frontier: it is of {MAX_KEPT} points at most; give fewer values"])
    settings = [Setting.of(point.method, confidence=dict(point.confidences)) for point, _ in found.served]
    curves = curves_of(settings)
    if study.measure is None or len(study.tiers) < 2 or all(len(curve.places) < 2 for curve in curves):
        return Frontiers(())
    made = [
        Curve(
            curve.name,
            [_point(study, label, found.served[places[0]][1]) for label, places in curve.places.items()],
        )
        for curve in curves
    ]
    names = {curve.policy: curve.name for curve in curves}
    tiers = list(study.tiers)
    ends = {f"{tiers[level]}-only": level for level in (0, len(tiers) - 1)}
    made += [
        Curve(policy, [_point(study, "", np.full(len(study.places), level))])
        for policy, level in ends.items()
        if policy not in names
    ]
    if why := too_many(len(made)):
        return Frontiers((), [f"no frontier: {why}"])
    lowest, top = (names.get(policy, policy) for policy in ends)
    return Frontiers([frontier(_asked(study, made, (lowest, top)))])


def _asked(study: Study, curves: list[Curve], ends: tuple[str, str]) -> Asked:
    assert study.measure is not None
    prompts, seeds = study.places.tolist(), [study.scenario.seed]
    scorer = study.scorer
    return Asked(study.measure, scorer.heading, scorer.decimals, prompts, curves, ends, seeds=seeds)


def _point(study: Study, label: str, levels: Ints) -> OperatingPoint:
    """What a run in lockstep would have counted, where nothing fails."""
    sizes, top = study.request_bytes.astype(np.float64), len(study.tiers) - 1
    return OperatingPoint(label, study.counts[levels, study.places], levels * sizes, top * sizes)
