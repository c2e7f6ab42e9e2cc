"""What claims that rest on recorded answers alone measure: functions from a what-if to its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np

from testbed.results.frontier import Difference, Frontier
from testbed.results.statistics import Estimate, Interval, ratio_of_means
from testbed.study.paper.drawn import Drawn, estimated
from testbed.study.paper.verdicts import NotTestable, Value
from testbed.study.what_if.frontier import frontiers_of
from testbed.study.what_if.predict import WhatIf
from testbed.study.what_if.study import Floats

Values = Mapping[str, Value]
Measure = Callable[[WhatIf], Values]
OF_CLOUD, OF_MEAN = "of cloud-only's", "of the mean"
"""Units of burdens, and of lengths."""
EQUAL_BYTES = 0.2
"""Of cloud-only's prompt bytes: where methods are compared, chosen beforehand. β = 0.3 comes to 0.195."""


def score_form(found: WhatIf) -> str:
    """How a score, or a difference of two, is written."""
    return "+.2f" if found.scorer.key == "bleu" else "+.4f"


def against_cloud(found: WhatIf) -> Values:
    """The first point's burden over cloud-only's as the paper counts it, and what its quality is short of."""
    drawn = Drawn(found)
    short = drawn.quality(0) - drawn.alone(len(found.tiers) - 1)
    return {
        "burden": _burden(found, drawn.burden(0), ".3f"),
        "difference": _score(found, short),
    }


def swapped(found: WhatIf) -> Values:
    """The same, with what the choice is worth over lots at equal share."""
    return {**against_cloud(found), "over lots": over_lots(found)}


def better_than(other: str) -> Measure:
    """What RecServe's quality is better by than another's, at :data:`EQUAL_BYTES`."""

    def measure(found: WhatIf) -> Values:
        return {"difference": _at_equal_bytes(found, "recserve", other)}

    return measure


def recursion_over_one_step(found: WhatIf) -> Values:
    """What deciding at each tier is better by than deciding at the device alone, at equal bytes."""
    curves = [curve.method for curve in _frontier(found).curves if not curve.by_lot and len(curve.points) > 1]
    return {"difference": _at_equal_bytes(found, curves[0], curves[1])}


def by_beta(found: WhatIf) -> Values:
    """How burden and quality rise over points of ascending β."""
    drawn = Drawn(found)
    betas = [point.method.parameters["beta"] for point, _ in found.served]
    last = len(betas) - 1
    rises = {
        f"burden {low:g} to {high:g}": _burden(found, drawn.burden(at + 1) - drawn.burden(at), "+.3f")
        for at, (low, high) in enumerate(pairwise(betas))
    }
    quality = _score(found, drawn.quality(last) - drawn.quality(0))
    return {f"quality {betas[0]:g} to {betas[-1]:g}": quality, **rises}


def by_window(found: WhatIf) -> Values:
    """The difference in quality of each window to the last and largest."""
    drawn = Drawn(found)
    windows = [point.method.parameters["window"] for point, _ in found.served]
    largest = len(windows) - 1
    return {
        f"N = {window}": _score(found, drawn.quality(at) - drawn.quality(largest))
        for at, window in enumerate(windows[:-1])
    }


def pays_below(found: WhatIf) -> Values:
    """The β at which the burden of recursion is that of asking the cloud directly."""
    drawn = Drawn(found)
    betas = [point.method.parameters["beta"] for point, _ in found.served]
    burdens = np.column_stack([drawn.burden(at) for at in range(len(betas))])
    if not burdens[0, 0] < 1 < burdens[0, -1]:
        raise NotTestable(f"the burden does not cross cloud-only's from β = {betas[0]:g} to {betas[-1]:g}")
    if missed := int(((burdens[:, 0] >= 1) | (burdens[:, -1] <= 1)).sum()):
        raise NotTestable(
            f"in {missed} of {len(burdens) - 1} resamples the burden does not cross cloud-only's from "
            f"β = {betas[0]:g} to {betas[-1]:g}, so that the interval would end there"
        )
    crossing = np.array([np.interp(1.0, row, betas) for row in np.maximum.accumulate(burdens, axis=1)])
    return {"β": _value(found, crossing, ".3f")}


def within_budget(found: WhatIf) -> Values:
    """The share of prompt bytes that crossed the lowest hop, and what the choice is worth over lots."""
    figures = found.points[0]
    up = figures[f"prompt_bytes_{found.tiers[0]}"] / int(found.study.request_bytes.sum())
    return {"bytes up": Value.counted(up, ".3f", "of prompt bytes"), "over lots": over_lots(found)}


def length_effect(found: WhatIf) -> Values:
    """E[bytes | sent up] / E[bytes] on each hop of the first point."""
    (_, levels), *_ = found.served
    sizes = found.study.request_bytes.astype(np.float64)
    values = {}
    for hop, tier in enumerate(found.tiers[:-1]):
        ratio = ratio_of_means(sizes, levels > hop)
        if ratio is None:
            raise NotTestable(f"nothing went up from {tier}")
        values[f"hop {hop + 1}"] = Value(ratio, unit=OF_MEAN)
    return values


def over_lots(found: WhatIf) -> Value:
    """The first point's quality over that of as many requests for each tier, drawn at random."""
    figures, key = found.points[0], f"{found.scorer.key}_vs_lot"
    if figures[key] is None:
        raise NotTestable("one tier answered all, so that there is no choice to be judged")
    low, high = figures[f"{key}_low"], figures[f"{key}_high"]
    ends = None if low is None else Interval(low, high)
    return Value(Estimate(figures[key], ends), score_form(found), found.scorer.heading)


def _at_equal_bytes(found: WhatIf, one: str, other: str) -> Value:
    """The first curve's quality less the second's."""
    for line in _frontier(found).differences:
        if (line.kind, line.share) == ("quality", EQUAL_BYTES) and {line.first, line.second} == {one, other}:
            return _signed(line, one, found)
    raise NotTestable(f"there are no curves of both {one} and {other}")


def _signed(line: Difference, one: str, found: WhatIf) -> Value:
    if line.difference is None:
        raise NotTestable(str(line.why))
    sign = -1 if line.first == one else 1
    ends = line.interval and Interval(*sorted(sign * end for end in line.interval))
    estimate = Estimate(sign * line.difference, ends)
    return Value(estimate, score_form(found), found.scorer.heading)


def _frontier(found: WhatIf) -> Frontier:
    made = frontiers_of(found)
    if not made.frontiers:
        raise NotTestable("; ".join(made.notes) or "no method has several settings")
    return made.frontiers[0]


def _score(found: WhatIf, values: Floats) -> Value:
    """A difference of scores."""
    return replace(_value(found, values, score_form(found)), unit=found.scorer.heading)


def _burden(found: WhatIf, values: Floats, form: str) -> Value:
    """A burden, or a difference of two."""
    return replace(_value(found, values, form), unit=OF_CLOUD)


def _value(found: WhatIf, values: Floats, form: str) -> Value:
    return Value(estimated(values, len(np.unique(found.study.places))), form)
