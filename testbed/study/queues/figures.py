"""A method's figures with queues, by column: latencies, frames on each hop, loads of nodes and links."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from testbed.study.queues.fifo import Floats
from testbed.study.queues.plant import Hop, Plant
from testbed.study.queues.simulate import Crossed, Outcome, own_s
from testbed.study.what_if.figures import Figures, figures
from testbed.study.what_if.study import Point, Study

PERCENTS = (50, 95, 99)
DIRECTIONS = ("up", "down")


def queue_figures(study: Study, plant: Plant, point: Point, outcome: Outcome) -> Figures:
    """What :func:`testbed.study.what_if.figures.figures` has, and what queues add to it.

    ``load`` is the time that is asked of a node or link over the trace's time: above 1 its queue grows for as
    long as requests come. It is ``None`` of a trace whose requests all come at once. ``path_ms`` is the
    latency less what is taken to be the host's: queues, inferences and links alone.
    """
    latency_ms = outcome.latency_s * 1000
    found = figures(study, point, outcome.answered_by)
    found["latency_ms_mean"] = float(latency_ms.mean())
    found |= percentiles("latency_ms", latency_ms)
    found |= percentiles("path_ms", latency_ms - own_s(outcome.answered_by) * 1000)
    found["past_deadline"] = int(np.sum(outcome.latency_s > study.scenario.replay.deadline_s))
    for tier, level in zip(plant.tiers, outcome.tiers, strict=True):
        found[f"queue_ms_p95_{tier}"] = level.waited_ms_p95
        found |= _loads(f"load_{tier}", level.busy_s, plant.lasts_s)
    for hop, up, down, opened in zip(plant.hops, outcome.up, outcome.down, outcome.opened, strict=True):
        for direction, crossed in zip(DIRECTIONS, (up, down), strict=True):
            found |= _crossed(hop, direction, crossed, plant.lasts_s)
        found[f"connections_{hop.tier}"] = int(opened.sum())
    found["frame_bytes"] = int(sum(crossed.frame_bytes.sum() for crossed in (*outcome.up, *outcome.down)))
    return found


def percentiles(name: str, values: Floats) -> Figures:
    """Those that are told, linear between order statistics."""
    found = np.percentile(values, PERCENTS).tolist()
    return {f"{name}_p{percent}": value for percent, value in zip(PERCENTS, found, strict=True)}


def _crossed(hop: Hop, direction: str, crossed: Crossed, lasts_s: float) -> Figures:
    way = hop.up if direction == "up" else hop.down
    name = f"{direction}_{hop.tier}"
    return {
        f"frame_bytes_{name}": int(crossed.frame_bytes.sum()),
        f"met_full_queue_{name}": crossed.found_full,
        **_loads(f"load_{name}", crossed.frame_bytes * 8 / way.rate_bps, lasts_s),
    }


def _loads(name: str, asked_s: Floats, lasts_s: float) -> Figures:
    if lasts_s == 0:
        return {f"{name}_mean": None, f"{name}_max": None, f"{name}_over_1": None}
    loads = asked_s / lasts_s
    return {
        f"{name}_mean": float(loads.mean()),
        f"{name}_max": float(loads.max()),
        f"{name}_over_1": int(np.sum(loads >= 1)),
    }


def troubles(found: Sequence[Figures], plant: Plant) -> list[str]:
    """A sentence for each method and place at which more is asked for than there is."""
    return [f"{one['method']}: {sentence}" for one in found for sentence in _troubles(one, plant)]


def _troubles(one: Figures, plant: Plant) -> Iterator[str]:
    for tier, count in zip(plant.tiers, plant.nodes, strict=True):
        if over := one[f"load_{tier}_over_1"]:
            yield (
                f"{over:,} of {count:,} nodes of {tier} are asked for more than they can do (load "
                f"{one[f'load_{tier}_max']:.2f} at most): their queues grow for as long as requests come, "
                "and latencies with them"
            )
    for hop in plant.hops:
        for direction in DIRECTIONS:
            name, where = f"{direction}_{hop.tier}", f"links above {hop.tier}, {direction}"
            if over := one[f"load_{name}_over_1"]:
                yield f"{over:,} of {len(hop.up.shapes):,} {where}, are asked for more than their rate"
            if full := one[f"met_full_queue_{name}"]:
                yield (
                    f"{full:,} messages came to a full queue of {where}: frames of theirs would be dropped "
                    "and sent again, which is left out"
                )
    if late := one["past_deadline"]:
        yield (
            f"{late:,} requests take longer than replay.deadline, at which a run would end them; here they "
            "wait on"
        )
