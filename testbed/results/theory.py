"""Theory beside measurement: what RecServe's formulas say of a method, and what its requests did.

If each tier sends up a share β, and prompts that go up are as long as others, hop *k* carries a share β^k of
the prompt bytes, and *n* tiers cost Σ β^k of a direct way to the top tier, for k from 1 to n - 1
(arXiv:2505.16502). Runs are finite, and confidence goes with length, so both are given beside what was
measured, and the ratio E[bytes | sent up] / E[bytes] that lies between them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from testbed.results.columns import Row
from testbed.results.confidences import confidence_figures
from testbed.results.scorers import Right
from testbed.results.shares import HopShares, hop_shares
from testbed.results.statistics import interval_to_json, ratio_of_means
from testbed.scenario.sections.methods import Method
from testbed.scenario.topology import Topology

Figures = dict[str, Any]


def theory_figures(method: Method, rows: Sequence[Row], topology: Topology, right: Right | None) -> Figures:
    """The figures of one method from its rows of ``requests.parquet``, of which there is at least one.

    ``right`` tells whether an answer is right, where the task has such a thing. Figures that rest on a column
    that the run lacks are ``None``; so are those on a share that the method does not ask for.
    ``hops`` is empty, and ``compute`` and ``recursion`` are ``None``, where one tier alone serves.
    """
    of_tiers = confidence_figures(rows, {node.name: node.tier for node in topology.nodes}, right)
    lengths = [row.get("prompt_bytes") for row in rows]
    known = None if None in lengths else np.array(lengths, dtype=np.float64)
    shares = hop_shares(method, topology, rows)
    hops = {tier: _hop(rows, level, shares[tier], known) for level, tier in enumerate(shares)}
    infers = [tier not in method.relay for tier in of_tiers]
    crossing = list(hops.values())
    return {
        "hops": hops,
        "tiers": of_tiers,
        "compute": _compute(len(rows), crossing, list(of_tiers.values()), infers) if hops else None,
        "recursion": _recursion(crossing, infers[:-1], known) if hops else None,
    }


def _hop(rows: Sequence[Row], level: int, shares: HopShares, lengths: NDArray[np.float64] | None) -> Figures:
    """One hop. Shares are of all requests; bytes are expected as if length and confidence had no relation."""
    sent = np.array([len(row["hops"]) > level for row in rows])
    ratio = None if lengths is None else ratio_of_means(lengths, sent)
    total = None if lengths is None else float(lengths.sum())
    return {
        "share_asymptotic": shares.asymptotic,
        "share_expected": shares.expected,
        "share": float(sent.mean()),
        "prompt_bytes_asymptotic": _weighted([shares.asymptotic], [total]),
        "prompt_bytes_expected": _weighted([shares.expected], [total]),
        "prompt_bytes": sum(row["hop_prompt_bytes"][level] for row in rows if len(row["hops"]) > level),
        "length_ratio": ratio and ratio.value,
        "length_ratio_ci": interval_to_json(ratio and ratio.interval),
    }


def _compute(
    requests: int, hops: Sequence[Figures], tiers: Sequence[Figures], infers: Sequence[bool]
) -> Figures:
    """Inferences of a request, and their time: C₁ + β C₂ + β² C₃, with C the tiers' measured means."""
    figures: Figures = {}
    inferring = [tier for tier, does in zip(tiers, infers, strict=True) if does]
    for kind in ("asymptotic", "expected"):
        every = [1.0, *(hop[f"share_{kind}"] for hop in hops)]
        reaching = [share for share, does in zip(every, infers, strict=True) if does]
        figures[f"inferences_{kind}"] = _weighted(reaching, [1.0] * len(reaching))
        figures[f"inference_ms_{kind}"] = _weighted(reaching, [tier["inference_ms"] for tier in inferring])
    made = [tier["inferences"] for tier in tiers]
    spent_ms = _weighted(made, [tier["inference_ms"] for tier in tiers])
    return {
        **figures,
        "inferences": sum(made) / requests,
        "inference_ms": None if spent_ms is None else spent_ms / requests,
        "inference_ms_of_top": tiers[-1]["inference_ms"],
    }


def _recursion(
    hops: Sequence[Figures], deciding: Sequence[bool], lengths: NDArray[np.float64] | None
) -> Figures:
    """Prompt bytes of recursion over those of a direct way to the top tier; it pays where that is below 1."""
    asymptotic, expected = ([hop[f"share_{kind}"] for hop in hops] for kind in ("asymptotic", "expected"))
    equal, ratios = [1.0] * len(hops), [hop["length_ratio"] for hop in hops]
    exponents = np.cumsum(deciding).tolist()
    crossed = sum(hop["prompt_bytes"] for hop in hops)
    return {
        "burden_asymptotic": _weighted(asymptotic, equal),
        "burden_expected": _weighted(expected, equal),
        "burden_with_lengths": _weighted(asymptotic, ratios),
        "burden": None if lengths is None or not lengths.sum() else crossed / float(lengths.sum()),
        "pays_below": pays_below(exponents, equal),
        "pays_below_with_lengths": None if None in ratios else pays_below(exponents, ratios),
    }


def _weighted(shares: Sequence[float | None], values: Sequence[float | None]) -> float | None:
    """The sum of share times value; ``None`` if one is missing. What has a share of 0 needs no value."""
    terms = [
        0.0 if share == 0 else None if share is None or value is None else share * value
        for share, value in zip(shares, values, strict=True)
    ]
    return None if None in terms else math.fsum(term for term in terms if term is not None)


def pays_below(exponents: Sequence[int], ratios: Sequence[float]) -> float:
    """The β, equal on all tiers, at which Σ ρ β^e over the hops is 1; recursion pays below it.

    ``exponents`` has for each hop the number of tiers below it that decide, ``ratios`` how long prompts are
    there as a share of the mean. 0 if no β pays, 1 if each one below 1 does. For three tiers that decide, and
    equal lengths, it is (√5 - 1) / 2 = 0.618.
    """
    from scipy import optimize

    def excess(beta: float) -> float:
        return math.fsum(ratio * beta**e for e, ratio in zip(exponents, ratios, strict=True)) - 1

    if excess(0.0) >= 0:
        return 0.0
    return 1.0 if excess(1.0) <= 0 else float(optimize.brentq(excess, 0.0, 1.0))
