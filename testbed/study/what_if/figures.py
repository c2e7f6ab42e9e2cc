"""A point's figures: who answered, how well, and how many bytes that puts on each hop."""

from __future__ import annotations

from typing import Any

import numpy as np

from testbed.results.burden import paper_bytes
from testbed.results.statistics import Interval
from testbed.study.what_if.quality import quality
from testbed.study.what_if.study import Ints, Point, Study

Figures = dict[str, Any]


def figures(study: Study, point: Point, levels: Ints) -> Figures:
    """The figures of a point, by column, from the tier that answers each request.

    A prompt crosses each hop below the tier that answers, once, and the answer comes down the same hops.
    So these are the bytes that a run in lockstep counts as ``prompt_bytes`` and ``answer_bytes``, where
    nothing fails.
    """
    return {
        "point": point.number,
        "method": point.method.name,
        "policy": point.method.policy,
        "settings": dict(point.settings),
        "requests": len(levels),
        "prompts": len(np.unique(study.places)),
        **_quality(study, levels),
        **_hops(study, levels),
        **_burdens(study, point, levels),
    }


def _quality(study: Study, levels: Ints) -> Figures:
    """The score, that of chance at equal shares, and the paired difference, each under its own column."""
    if study.measure is None:
        return {}
    key = study.scorer.key
    found = quality(study.measure, study.counts, levels, study.places)
    return {
        key: found.score,
        **_ends(key, found.interval),
        f"{key}_by_lot": found.chance,
        f"{key}_vs_lot": found.difference,
        **_ends(f"{key}_vs_lot", found.difference_interval),
    }


def _ends(name: str, interval: Interval | None) -> Figures:
    low, high = (None, None) if interval is None else interval
    return {f"{name}_low": low, f"{name}_high": high}


def _hops(study: Study, levels: Ints) -> Figures:
    """Requests by tier; and of each hop, named by the tier below it, what crosses it."""
    tiers = list(study.tiers)
    answers = study.answer_sizes[levels, study.places]
    found: Figures = {f"served_by_{tier}": int(np.sum(levels == at)) for at, tier in enumerate(tiers)}
    for at, tier in enumerate(tiers[:-1]):
        crosses = levels > at
        prompts = study.request_bytes[crosses]
        found |= {
            f"share_up_{tier}": float(crosses.mean()),
            f"prompt_bytes_{tier}": int(prompts.sum()),
            f"answer_bytes_{tier}": int(answers[crosses].sum()),
            f"length_ratio_{tier}": float(prompts.mean() / study.request_bytes.mean())
            if len(prompts)
            else None,
        }
    return found


def _burdens(study: Study, point: Point, levels: Ints) -> Figures:
    """Bytes over all hops, and relative to the top tier alone, as docs/BYTES.md defines them."""
    prompts, top = study.request_bytes, len(study.tiers) - 1
    answers = study.answer_sizes[levels, study.places]
    alone = point.method.only_tier is not None
    crossed = int((levels * prompts).sum())
    paper = int(paper_bytes(levels, prompts, answers, alone).sum())
    sent = study.answer_sizes[top, study.places]
    direct = int(paper_bytes(np.full(len(levels), top), prompts, sent, alone=True).sum())
    return {
        "prompt_bytes": crossed,
        "answer_bytes": int((levels * answers).sum()),
        "burden_vs_cloud_only": crossed / int(top * prompts.sum()) if top else None,
        "burden_vs_direct_cloud": crossed / int(prompts.sum()) if top else None,
        "burden_paper_bytes": paper,
        "burden_paper_vs_cloud_only": paper / direct if direct else None,
    }
