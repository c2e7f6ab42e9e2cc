"""A finished run's rows as the frames that figures draw: long tables, reduced to what an eye can see."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from testbed.report.tables import CAUSES
from testbed.results.run import Run
from testbed.results.scorers import SCORERS, Scorer
from testbed.scenario.topology import Topology

PARTS = (
    "prompt", "answer", "envelope", "instrumentation", "http_header", "packet_header", "tcp_control",
    "retransmitted", "other",
)  # fmt: skip
"""Causes of bytes, in the order of the columns of ``links.parquet``."""
MAX_POINTS = 300
"""Of a curve, or of a cloud of points, for each method or tier."""
MAX_BINS = 100
"""Of a time line."""


@dataclass(frozen=True)
class RunData:
    """A run, with what several figures need of it."""

    run: Run

    @cached_property
    def scorer(self) -> Scorer:
        return SCORERS[self.run.scenario.task.kind]

    @cached_property
    def topology(self) -> Topology:
        return self.run.scenario.topology

    @cached_property
    def methods(self) -> list[str]:
        """The methods of which there are figures, in the scenario's order."""
        return list(self.run.summary["methods"])

    @cached_property
    def tiers(self) -> list[str]:
        """Lowest first."""
        return self.run.scenario.tier_names

    def figures(self, method: str) -> dict[str, Any]:
        """A method's figures in ``summary.json``."""
        found: dict[str, Any] = self.run.summary["methods"][method]
        return found

    def requests_of(self, method: str) -> pd.DataFrame:
        """The rows of a method's requests."""
        return self.run.requests[self.run.requests["method"] == method]

    def ended_s(self, method: str) -> float:
        """When the last request of a method ended, in seconds since its start."""
        return float(self.requests_of(method)["done_at_s"].max())


def quality_and_burden(data: RunData) -> pd.DataFrame:
    """A row for each method: its score with its interval, and its burden."""
    rows = []
    for method in data.methods:
        figures = data.figures(method)
        score, ends = figures[data.scorer.key], figures[data.scorer.interval_key]
        if score is None or figures["burden_vs_cloud_only"] is None:
            continue
        low, high = ends or (None, None)
        rows.append(
            {
                "method": method,
                data.scorer.key: score,
                "low": low,
                "high": high,
                "burden_vs_cloud_only": figures["burden_vs_cloud_only"],
                "prompt_bytes": figures["prompt_bytes"],
            }
        )
    found = pd.DataFrame(rows)
    if len(found):
        found["on_frontier"] = on_frontier(list(found["burden_vs_cloud_only"]), list(found[data.scorer.key]))
    return found


def on_frontier(costs: Sequence[float], scores: Sequence[float]) -> list[bool]:
    """Whether no other point costs as little or less with a better score, or less with as good a one."""
    pairs = list(zip(costs, scores, strict=True))
    return [
        not any(c <= cost and s >= score and (c, s) != (cost, score) for c, s in pairs)
        for cost, score in pairs
    ]


def bytes_by_cause(data: RunData) -> pd.DataFrame:
    """A row for each hop, method and cause: bytes in both directions over all links of the hop."""
    entry = {link.name: link.entry for link in data.topology.links}
    links = data.run.links.assign(hop=data.run.links["link"].map(entry))
    columns = [f"{part}_bytes" for part in PARTS]
    summed = links.groupby(["hop", "method"], sort=False)[columns].sum().reset_index()
    long = summed.melt(["hop", "method"], columns, "cause", "bytes")
    long["cause"] = long["cause"].str.removesuffix("_bytes").str.replace("_", " ")
    long["bytes"] = long["bytes"].astype("int64")
    return long


def time_spent(data: RunData) -> pd.DataFrame:
    """A row for each method and cause: mean milliseconds of an answered request."""
    rows = [
        {"method": method, "cause": CAUSES[cause], "mean_ms": spent_ms}
        for method in data.methods
        for cause, spent_ms in (data.figures(method)["spent_ms"] or {}).items()
    ]
    return pd.DataFrame(rows, columns=["method", "cause", "mean_ms"])


def served_by(data: RunData) -> pd.DataFrame:
    """A row for each method and tier: the share of all requests that the tier answered."""
    rows = [
        {"method": method, "tier": tier, "answers": count, "share": count / data.figures(method)["requests"]}
        for method in data.methods
        for tier, count in data.figures(method)["served_by"].items()
    ]
    return pd.DataFrame(rows, columns=["method", "tier", "answers", "share"])


def latency_quantiles(data: RunData) -> pd.DataFrame:
    """The distribution of each method's latency over all requests; the unanswered never arrive."""
    frames = []
    for method in data.methods:
        rows = data.requests_of(method)
        answered = np.sort(rows.loc[rows["outcome"] == "answered", "latency_ms"].to_numpy(float))
        if not len(answered):
            continue
        ranks = spread(len(answered), MAX_POINTS)
        shares = (ranks + 1) / len(rows)
        frames.append(pd.DataFrame({"method": method, "latency_ms": answered[ranks], "share": shares}))
    return pd.concat(frames) if frames else pd.DataFrame(columns=["method", "latency_ms", "share"])


def spread(length: int, most: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """At most so many positions of ``length``, evenly spread, the first and the last among them."""
    if length <= most:
        return np.arange(length)
    return np.unique(np.linspace(0, length - 1, most).round().astype(np.int64))


def decisions(data: RunData, method: str) -> pd.DataFrame:
    """A row for each decision of the tiers below the top: confidence and threshold at its time."""
    top = data.tiers[-1]
    tier_of = {node.name: node.tier for node in data.topology.nodes}
    columns = ["scheduled_at_s", "request_id", "path", "confidences", "thresholds", "kept"]
    rows = [
        (tier_of[node], node, request_id, at_s, confidence, threshold, "kept" if kept else "sent up")
        for at_s, request_id, *lists in data.requests_of(method)[columns]
        .sort_values("scheduled_at_s")
        .itertuples(index=False)
        for node, confidence, threshold, kept in zip(*lists, strict=True)
        if tier_of[node] != top and confidence is not None
    ]
    named = ["tier", "node", "request_id", "at_s", "confidence", "threshold", "decision"]
    found = pd.DataFrame(rows, columns=named)
    return pd.concat(
        [of_tier.iloc[spread(len(of_tier), MAX_POINTS)] for _, of_tier in found.groupby("tier", sort=False)]
        or [found]
    )


def passed_on(data: RunData) -> pd.DataFrame:
    """The share of the requests so far that each hop passed on, beside the share that the method asks for.

    Of methods that ask for one; none in a run whose summary has no theory.
    """
    frames = []
    for method in data.methods:
        hops = (data.figures(method).get("theory") or {"hops": {}})["hops"]
        tried = data.requests_of(method).sort_values("scheduled_at_s")["hops"].map(len).to_numpy()
        for level, (tier, hop) in enumerate(hops.items()):
            if hop["share_asymptotic"] in (None, 0, 1):
                continue
            shares = np.cumsum(tried > level) / np.arange(1, len(tried) + 1)
            at = spread(len(tried), MAX_POINTS)
            so_far = {"method": method, "tier": tier, "requests": at + 1, "share": shares[at]}
            frames.append(pd.DataFrame({**so_far, "share_asymptotic": hop["share_asymptotic"]}))
    return pd.concat(frames) if frames else pd.DataFrame()


def time_line(data: RunData) -> pd.DataFrame:
    """A row for each method, bin of time and quantity: requests done each second, and outstanding.

    What is offered each second is the trace's, and has the first method alone.
    """
    frames: list[pd.DataFrame] = []
    for method in data.methods:
        rows = data.requests_of(method)
        offered = np.sort(rows["scheduled_at_s"].to_numpy(float))
        done = np.sort(rows["done_at_s"].to_numpy(float))
        bins = max(1, min(MAX_BINS, math.ceil(len(rows) / 5)))
        edges = np.linspace(0, max(data.ended_s(method), 1e-9), bins + 1)
        width_s = edges[1] - edges[0]
        offers = {} if frames else {"offered per s": np.histogram(offered, edges)[0] / width_s}
        by_quantity = offers | {
            "done per s": np.histogram(done, edges)[0] / width_s,
            "outstanding": np.searchsorted(offered, edges[1:], "right")
            - np.searchsorted(done, edges[1:], "right"),
        }
        frames += [
            pd.DataFrame(
                {"method": method, "quantity": quantity, "at_s": edges[1:].round(3), "value": values}
            )
            for quantity, values in by_quantity.items()
        ]
    return pd.concat(frames)


def events(data: RunData) -> pd.DataFrame:
    """A row for each event that took effect: its time, end and words; alike under all methods."""
    columns = ["at_s", "ends_at_s", "what"]
    found = data.run.events
    rows = [
        {
            "at_s": row["at_s"],
            "ends_at_s": None if pd.isna(row["for_s"]) else row["at_s"] + row["for_s"],
            "what": f"{row['kind']} of {row['target']}",
        }
        for row in found.drop_duplicates("number").to_dict("records")
        if not row["skipped"]
    ]
    return pd.DataFrame(rows, columns=columns)


def nodes(data: RunData) -> pd.DataFrame:
    """A row for each node with its place in the drawing, in [0, 1]: tiers from the bottom up."""
    rows = []
    for level, tier in enumerate(data.tiers):
        names = [node.name for node in data.topology.nodes if node.tier == tier]
        for at, name in enumerate(names):
            height = level / max(1, len(data.tiers) - 1)
            rows.append({"node": name, "tier": tier, "x": (at + 0.5) / len(names), "y": height})
    return pd.DataFrame(rows)


_LOADS = [
    "method", "link", "child", "parent", "up_bytes", "down_bytes", "kilobytes", "mean_kbps", "share_of_rate",
]  # fmt: skip


def link_loads(data: RunData) -> pd.DataFrame:
    """A row for each link and method: its ends in the drawing, its bytes, and their share of its rate."""
    place = nodes(data).set_index("node")
    found = pd.DataFrame(list(_loads(data)), columns=_LOADS)
    for end in ("child", "parent"):
        found[f"{end}_x"] = found[end].map(place["x"])
        found[f"{end}_y"] = found[end].map(place["y"])
    return found


def _loads(data: RunData) -> Iterator[dict[str, Any]]:
    sent = {(row["link"], row["method"], row["direction"]): row for row in data.run.links.to_dict("records")}
    for method in data.methods:
        seconds = data.ended_s(method)
        for link in data.topology.links:
            if (link.name, method, "up") not in sent:
                continue
            up, down = (int(sent[link.name, method, side]["frame_bytes"]) for side in ("up", "down"))
            used = [
                bits * 8 / seconds / rate
                for bits, rate in ((up, link.up.rate_bps), (down, link.down.rate_bps))
                if rate and seconds
            ]
            figures = {
                "up_bytes": up, "down_bytes": down, "kilobytes": (up + down) / 1000,
                "mean_kbps": (up + down) * 8 / seconds / 1000 if seconds else 0.0,
                "share_of_rate": max(used, default=None),
            }  # fmt: skip
            for child in link.children:
                yield {"method": method, "link": link.name, "child": child, "parent": link.parent, **figures}
