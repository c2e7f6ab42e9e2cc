"""What a method cost by the scenario's prices, from the tokens and CPU seconds that were measured.

Each tier that infers for a request costs, whether its answer is returned or a higher tier's. Tokens are those
that the node's model counted. CPU seconds are those of the node's control groups over the replay, an engine's
that the testbed started included, whatever they did: inferring, relaying, waiting for work. Nobody measures
them by request: a node's are divided among its requests by their share of its time of inference (of a batch,
each one's), and equally at a node that only relayed. Those of a node that no request reached are the
method's, and no request's.

What cannot be known is null and has a reason; it is never 0.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from testbed.results.columns import Row
from testbed.results.statistics import interval_to_json, mean_interval
from testbed.results.times import work_ms
from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.methods import Method
from testbed.scenario.sections.price import Price

_NOT_ITS_MODELS = {
    "recorded": "its CPU time is not a model's, for its answers are recorded",
    "openai": "its engine's CPU time is not measured",
}
"""By a model's kind, why the CPU seconds of its node are not what serving takes."""
_UNKNOWN = math.nan
"""Stands for what cannot be known, in sums too, until it becomes null."""


@dataclass
class Costs:
    """What a method cost: each request, in the rows' order, and each tier; ``None`` where unknown.

    ``reasons`` say why, a sentence each.
    """

    unit: str
    requests: list[float | None]
    tiers: dict[str, float | None]
    reasons: list[str] = field(default_factory=list)


def is_priced(scenario: Scenario) -> bool:
    """Whether it says what its tiers cost."""
    return scenario.tiers[0].price is not None


def method_costs(scenario: Scenario, method: Method, rows: Sequence[Row], nodes: Sequence[Row]) -> Costs:
    """What a method cost.

    Args:
        scenario: with prices.
        rows: the method's of ``requests.parquet``.
        nodes: the method's of ``tiers.parquet``.
    """
    return _Counting(scenario, method, rows, nodes).costs()


class _Counting:
    def __init__(self, scenario: Scenario, method: Method, rows: Sequence[Row], nodes: Sequence[Row]) -> None:
        self._method, self._rows, self._nodes = method, rows, nodes
        self._tier_of = {node.name: node.tier for node in scenario.topology.nodes}
        self._kinds = {tier.name: tier.model.kind for tier in scenario.tiers}
        self._prices: dict[str, Price] = {tier.name: tier.price for tier in scenario.tiers if tier.price}
        self._reasons: dict[str, None] = {}
        self._inferring_ms: defaultdict[str, float] = defaultdict(float)
        self._passing: defaultdict[str, int] = defaultdict(int)
        for row in rows:
            for at, node in enumerate(row["path"]):
                self._passing[node] += 1
                self._inferring_ms[node] += work_ms(row, at)
        self._cpu = {row["node"]: self._cpu_cost(row) for row in nodes}

    def costs(self) -> Costs:
        tiers = dict.fromkeys(self._prices, 0.0)
        for node, cpu in self._cpu.items():
            tiers[self._tier_of[node]] += cpu
        requests = []
        for row in self._rows:
            cost = 0.0
            if (lost := self._lost(row)) is not None:
                cost = tiers[lost] = self._unknown(f"{lost}: what it did not record is not known")
            for at, node in enumerate(row["path"]):
                tokens = self._token_cost(row, at)
                cost += tokens + self._cpu_share(row, at)
                tiers[self._tier_of[node]] += tokens
            requests.append(cost)
        unit = min(next(iter(self._prices.values())).units)
        known = {tier: _known(cost) for tier, cost in tiers.items()}
        return Costs(unit, [_known(cost) for cost in requests], known, list(self._reasons))

    def _unknown(self, reason: str) -> float:
        self._reasons[reason] = None
        return _UNKNOWN

    def _cpu_cost(self, used: Row) -> float:
        """What a node's CPU seconds cost."""
        tier = self._tier_of[used["node"]]
        price = self._prices[tier].cpu_second
        if not price:
            return 0.0
        # A tier that relays under the method runs no model.
        if tier not in self._method.relay and (why := _NOT_ITS_MODELS.get(self._kinds[tier])):
            return self._unknown(f"{tier}: {why}")
        if used["cpu_seconds"] is None:
            return self._unknown(f"{tier}: the kernel did not count its CPU time")
        return float(used["cpu_seconds"]) * price

    def _cpu_share(self, row: Row, at: int) -> float:
        node = row["path"][at]
        cpu = self._cpu.get(node, 0.0)
        if self._inferring_ms[node]:
            return float(cpu * work_ms(row, at) / self._inferring_ms[node])
        return cpu / self._passing[node]

    def _token_cost(self, row: Row, at: int) -> float:
        """What the tokens cost that a node read and generated for a request."""
        tier = self._tier_of[row["path"][at]]
        price = self._prices[tier]
        if not (price.prompt_token or price.generated_token):
            return 0.0
        if row["node_answers"][at] is None:  # it did not infer
            if _failed(row, at):
                return self._unknown(f"{tier}: what a failed inference took is not known")
            return 0.0
        counts = [(row.get(name) or [None] * (at + 1))[at] for name in ("prompt_tokens", "generated_tokens")]
        if None in counts:
            return self._unknown(f"{tier}: its model counts no tokens")
        return float(counts[0] * price.prompt_token + counts[1] * price.generated_token)

    def _lost(self, row: Row) -> str | None:
        """The lowest tier that may have worked for the request without a record of it, if there is one."""
        path, skipped = row["path"], sum(why is not None for why in row.get("skipped") or ())
        if not path:
            return None if row["outcome"] == "deadline" else self._tier_of[row["device"]]
        if len(row["hops"]) < len(path) + skipped:
            return None
        above = list(self._prices)
        return above[min(above.index(self._tier_of[path[-1]]) + 1, len(above) - 1)]


def _failed(row: Row, at: int) -> bool:
    """Whether an inference that was begun gave nothing: it is the last on the path, and the error says so."""
    if at < len(row["path"]) - 1:
        return False
    error = row["outcome"] if row["outcome"] != "answered" else row["forward_errors"][at - 1] if at else None
    return bool(error == "inference")


def _known(cost: float) -> float | None:
    return None if math.isnan(cost) else cost


def _all_known(costs: Sequence[float | None]) -> list[float]:
    """All of them, or none if one is not known."""
    return [] if None in costs else [cost for cost in costs if cost is not None]


def cost_figures(
    scenario: Scenario, method: Method, rows: Sequence[Row], nodes: Sequence[Row]
) -> dict[str, Any]:
    """A method's cost as ``summary.json`` has it; nothing for a scenario without prices."""
    if not is_priced(scenario):
        return {}
    found = method_costs(scenario, method, rows, nodes)
    each, tiers = _all_known(found.requests), _all_known(list(found.tiers.values()))
    return {
        "cost": math.fsum(tiers) if tiers else None,
        "cost_by_tier": found.tiers,
        "cost_per_request": math.fsum(each) / len(each) if each else None,
        "cost_per_request_ci": interval_to_json(mean_interval(each)) if each else None,
        "cost_unit": found.unit,
        "cost_reason": "; ".join(found.reasons) or None,
    }


def with_costs(
    scenario: Scenario, name: str, rows: Sequence[Mapping[str, Any]], nodes: Sequence[Row]
) -> list[dict[str, Any]]:
    """The method's rows of ``requests.parquet``, each with its cost; as they are without prices."""
    if not is_priced(scenario):
        return [dict(row) for row in rows]
    method = next(method for method in scenario.methods if method.name == name)
    costs = method_costs(scenario, method, rows, nodes).requests
    return [{**row, "cost": cost} for row, cost in zip(rows, costs, strict=True)]
