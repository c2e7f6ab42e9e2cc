"""What must hold between the sections of a scenario. Each check raises a validation error of one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

from testbed.scenario.reading.mistakes import mistake, nearest
from testbed.scenario.reading.units import parse_rate_bps
from testbed.scenario.sections.graph import GraphEntry
from testbed.scenario.sections.kind import has_labels, is_for_any_data, today
from testbed.scenario.sections.links import LinkEntry
from testbed.scenario.sections.methods import Method
from testbed.scenario.sections.models import EMBEDDED, EmbeddedEntry, RecordedEntry
from testbed.scenario.sections.replay import Replay
from testbed.scenario.sections.section import LEAST_RATE, MOST_RATE
from testbed.scenario.sections.task import Task
from testbed.scenario.sections.tiers import Tier
from testbed.scenario.topology import DIRECTIONS, Link, Topology, bdp_multiple
from tiers.models import KINDS
from tiers.plugins import external


def check_unique(field: str, names: Iterable[str]) -> None:
    """No name twice in a list."""
    for name, count in Counter(names).items():
        if count > 1:
            raise mistake(f"{name!r} is there {count} times; give each entry a name of its own", field)


def check_tiers(tiers: Sequence[Tier], max_nodes: int) -> None:
    """Every node has a child, but for the lowest tier's, and there are not too many."""
    if (total := sum(tier.nodes for tier in tiers)) > max_nodes:
        raise mistake(f"{total} nodes in all; there may be {max_nodes} at most", "tiers")
    for lower, upper in pairwise(tiers):
        # By the parent rule, with p > n some parents would have no child, and no request would reach them.
        if upper.nodes > lower.nodes:
            raise mistake(
                f"{upper.nodes} nodes above {lower.name}'s {lower.nodes} would leave some without a child; "
                f"have {lower.nodes} at most",
                f"tiers.{upper.name}.nodes",
            )


def check_skips(when_unreachable: str, tiers: Sequence[str]) -> None:
    """Only a tier that has one above it can be skipped, and one below it to ask past it."""
    if when_unreachable == "skip" and len(tiers) < 3:
        raise mistake(
            f"is skip, and with {len(tiers)} tiers there is none to ask past another; "
            "have three tiers at least, or leave it out",
            "when_unreachable",
        )


def check_models(tiers: Sequence[Tier], task: Task) -> None:
    """Embedded models suit the task's kind, and answers from a prompt's hash have labels to be among."""
    for tier in tiers:
        model, field = tier.model, f"tiers.{tier.name}.model"
        if isinstance(model, EmbeddedEntry) and not _made_for(model.task, task.kind):
            fitting = [f"embedded/{rung}" for rung, kind in EMBEDDED.items() if _made_for(kind, task.kind)]
            raise mistake(
                f"embedded/{model.rung} is for {model.task}, and the task is {task.kind}; "
                + (f"have one of {', '.join(fitting)}" if fitting else "name a checkpoint of yours"),
                field,
            )
        if isinstance(model, RecordedEntry) and model.makes_up and not task.labels:
            raise mistake(
                f"answers are made up from the task's labels, and {task.data.name} has none; "
                "give the path of recorded inferences, without missing: made-up",
                field,
            )


def _made_for(model: str, kind: str) -> bool:
    """Whether a model that was made for one kind of task suits another: one that produces text, most."""
    return model == today(kind) or (is_for_any_data(kind) and not has_labels(model))


def check_batches(tiers: Sequence[Tier], methods: Sequence[Method], replay: Replay) -> None:
    """A tier serves in batches only what may be inferred together, and requests that overlap."""
    for tier in tiers:
        field = f"tiers.{tier.name}.batch"
        if tier.batch == 1:
            if tier.wait_ms:
                raise mistake("is for batches; add batch: 8, or remove it", f"tiers.{tier.name}.wait")
            continue
        kind = tier.model.served_as
        if external(kind) is None and not KINDS.find(kind).takes_batches():
            raise mistake(f"a model of kind {kind} answers one request at a time; remove it", field)
        if shared := next((method.name for method in methods if method.shared), None):
            raise mistake(
                f"under {shared} the nodes of a tier share a window, one request after another; remove it, "
                "or write scope: node there",
                field,
            )
        if replay.mode == "lockstep":
            raise mistake(
                "lockstep sends one request at a time, so that no batch would ever have two; remove it, or "
                "write replay: {mode: open}",
                field,
            )
        if tier.wait_ms >= replay.deadline_s * 1000:
            raise mistake(
                "is no less than replay.deadline: requests would wait until it has passed; shorten it",
                f"tiers.{tier.name}.wait",
            )


def check_prices(tiers: Sequence[Tier]) -> None:
    """Every tier has a price or none has, and all are in one unit."""
    priced = [(tier, tier.price) for tier in tiers if tier.price is not None]
    for tier in tiers:
        if priced and tier.price is None:
            raise mistake(
                f"is missing, and {priced[0][0].name} has one; give what it costs, or cpu: 0 $/h if nothing",
                f"tiers.{tier.name}.price",
            )
    units = {unit: tier.name for tier, price in priced for unit in sorted(price.units)}
    if len(units) > 1:
        (first, one), (second, other) = list(units.items())[:2]
        raise mistake(
            f"is in {second}, and tiers.{one}.price in {first}; what is summed up needs one unit"
            if one != other
            else f"is in {first} and in {second}; what is summed up needs one unit",
            f"tiers.{other}.price",
        )


def check_parents(tiers: Sequence[Tier]) -> None:
    """Parents that a tier lists are there, one for each node, and each has a child."""
    for tier, above in zip(tiers, [*tiers[1:], None], strict=True):
        field = f"tiers.{tier.name}.parents"
        if not tier.parents:
            continue
        if above is None:
            raise mistake(f"{tier.name} is the top tier, with nobody above it; remove them", field)
        if (count := len(tier.parents)) != tier.nodes:
            raise mistake(f"has {count} entries for {tier.nodes} nodes; give each node its parent", field)
        if (most := max(tier.parents)) > above.nodes:
            raise mistake(
                f"{above.name}{most} is not there; {above.name} has {above.nodes}, counted from 1", field
            )
        if lonely := set(range(1, above.nodes + 1)).difference(tier.parents):
            raise mistake(
                f"{above.name}{min(lonely)} would have no child, and no request would reach it; "
                "give it one or have fewer nodes",
                field,
            )


def check_links(tiers: Sequence[str], links: Sequence[LinkEntry]) -> None:
    """Each pair of neighbouring tiers, lowest first, has exactly one link entry."""
    wanted = dict.fromkeys(pairwise(tiers), "")
    pairs = ", ".join(f"[{lower}, {upper}]" for lower, upper in wanted) or "none, with a single tier"
    for link in links:
        for tier in link.between:
            if tier not in tiers:
                raise mistake(f"no tier {tier!r}; {nearest(tier, tiers)}", f"links.{link.name}.between")
        pair = min(((a, b) for a, b in wanted if {a, b} == set(link.between)), default=None)
        if pair is None:
            raise mistake(
                f"[{', '.join(link.between)}] are not neighbouring tiers; neighbours are {pairs}",
                f"links.{link.name}.between",
            )
        if wanted[pair]:
            raise mistake(
                f"{wanted[pair]} already joins {pair[0]} and {pair[1]}; remove one of the two",
                f"links.{link.name}.between",
            )
        wanted[pair] = link.name
    for (lower, upper), name in wanted.items():
        if not name:
            raise mistake(f"no link joins {lower} and {upper}; add one between [{lower}, {upper}]", "links")


def check_shapes(links: Sequence[LinkEntry], graph: GraphEntry | None, topology: Topology) -> None:
    """No link is asked for what cannot be: each direction of each is held against itself and its way."""
    for link in topology.links:
        entry = next(entry for entry in links if entry.name == link.entry)
        if graph is not None:
            _check_way(graph, entry, link, topology)
        for direction in DIRECTIONS:
            shape = link.shape(direction)
            if shape.jitter_ms > shape.delay_ms:
                raise mistake(
                    "is more than the delay, and no frame arrives before it is sent; lower it",
                    entry.where(direction, "jitter_ms"),
                )
            if shape.reorder and not shape.delay_ms:
                raise mistake(
                    "needs a delay, for a frame overtakes those that wait; add one",
                    entry.where(direction, "reorder"),
                )
            round_trip_ms = link.up.delay_ms + link.down.delay_ms
            if bdp_multiple(entry.figure(direction, "queue")) and not (shape.rate_bps and round_trip_ms):
                raise mistake(
                    "needs a rate and a delay to be a product of; add them, or write frames",
                    entry.where(direction, "queue"),
                )


def _check_way(graph: GraphEntry, entry: LinkEntry, link: Link, topology: Topology) -> None:
    """A link whose ends are both placed has the way's delay and no other, a rate that may be, and one way."""
    places = dict.fromkeys(graph.place_of(topology.node(child)) for child in link.children)
    if None in places or graph.place_of(topology.node(link.parent)) is None:
        return
    if len(places) > 1:
        raise mistake(
            f"the children of {link.parent} are at {' and '.join(map(str, places))}, and one link has one "
            "way; place them together, or let each have its own",
            f"links.{entry.name}.shared",
        )
    for direction in DIRECTIONS:
        if entry.figure(direction, "delay_ms"):
            mend = "write delay: 0ms beside the profile" if entry.profile else "remove it"
            raise mistake(
                f"comes from graph, where {' and '.join(entry.between)} have places; {mend}",
                f"links.{entry.name}.delay",
            )
        rate_bps = link.shape(direction).rate_bps
        if rate_bps is not None and not parse_rate_bps(LEAST_RATE) <= rate_bps <= parse_rate_bps(MOST_RATE):
            raise mistake(
                f"{link.name} would have the graph's {rate_bps} bit/s, and a rate is {LEAST_RATE} to "
                f"{MOST_RATE}; write one",
                f"links.{entry.name}.rate",
            )
