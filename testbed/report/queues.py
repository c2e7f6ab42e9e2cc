"""The tables of ``testbed what-if --queues``: latencies and bytes with their errors, and what is how busy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from testbed.report.cells import number, table
from testbed.results.scorers import Scorer

Figures = Mapping[str, Any]
Errors = Mapping[str, float]
"""By figure, how far the wire was from a prediction, relative to what was predicted."""
TOLD = {
    "latency_ms_p50": "p50",
    "latency_ms_p95": "p95",
    "latency_ms_p99": "p99",
    "prompt_bytes": "prompt bytes",
    "frame_bytes": "frame bytes",
}
"""The figures that have an error, in words."""


def queues_table(
    title: str,
    points: Sequence[Figures],
    tiers: Sequence[str],
    hops: Sequence[str],
    scorer: Scorer,
    errors: Mapping[int, Errors],
    doubted: Sequence[int],
) -> Table:
    """A line for each method.

    Args:
        errors: by the number of devices of the run that shows them.
        doubted: of these runs, those whose verdict on latency is false.
    """
    worst = {name: max(of[name] for of in errors.values()) for name in TOLD}
    lower = "/ ".join(hops)  # headings may wrap at a space
    unit, unit_bytes = ("MB", 1e6) if any(one["frame_bytes"] >= 1e8 for one in points) else ("KB", 1e3)
    columns = [
        *([scorer.heading] if any(scorer.key in one for one in points) else []),
        "served by " + "/ ".join(tiers),
        *(f"latency {TOLD[f'latency_ms_p{percent}']} ms" for percent in (50, 95, 99)),
    ]
    if hops:
        columns += [f"{what} {lower}" for what in (f"prompt {unit} up from", f"frame {unit} up from")]
        columns.append(f"frame {unit} down to {lower}")
    made = table(title, ["method"], columns, unwrapped=[one for one in columns if "latency" in one])
    for one in points:
        made.add_row(
            one["method"],
            *([number(one[scorer.key], f".{scorer.decimals}f")] if scorer.key in one else ()),
            "/".join(f"{one[f'served_by_{tier}']:,}" for tier in tiers),
            *(_with_error(one, name, worst[name]) for name in list(TOLD)[:3]),
            *(
                _bytes(one, name, hops, unit_bytes)
                for name in ("prompt_bytes", "frame_bytes_up", "frame_bytes_down")
                if hops
            ),
        )
    made.caption = Text("\n".join(_caption(errors, worst, doubted)))
    return made


def _bytes(one: Figures, name: str, hops: Sequence[str], unit_bytes: float) -> str:
    return "/".join(f"{one[f'{name}_{hop}'] / unit_bytes:,.1f}" for hop in hops)


def _with_error(one: Figures, name: str, off: float) -> str:
    is_over = any(value for key, value in one.items() if key.endswith("_over_1") or "met_full_queue" in key)
    return f"{one[name]:,.0f} ± {'?' if is_over else format(one[name] * off, ',.0f')}"


def _caption(errors: Mapping[int, Errors], worst: Errors, doubted: Sequence[int]) -> Iterator[str]:
    yield "±: how far runs of scenarios/city.yaml on the wire were off at most, as a share of prediction:"
    for devices, of in errors.items():
        path = ", ".join(f"p{percent} {of[f'path_ms_p{percent}']:.1%}" for percent in (50, 95, 99))
        told = ", ".join(f"{word} {of[name]:.1%}" for name, word in TOLD.items())
        yield f"  {devices:,} devices: {told}; queues, inferences and links alone {path}"
    if doubted:
        yield (
            f"The verdict on latency of the runs with {', '.join(map(str, doubted))} devices is false, as "
            "the host was busy: its delays are in these errors"
        )
    yield (
        f"So bytes of frames are ± {worst['frame_bytes']:.1%}. No run had more devices, other loads or other "
        "links: there it is no bound, and ± ? where something is overloaded (docs/CITY.md)"
    )


def busy_table(points: Sequence[Figures], tiers: Sequence[str], hops: Sequence[str]) -> Table:
    """How busy the nodes of each tier and the links above it are, method by method."""
    made = table("How busy", ["method", "where"], ["load, mean", "load, most", "p95 in queue ms"])
    for one in points:
        places = [(f"nodes of {tier}", tier, f"queue_ms_p95_{tier}") for tier in tiers]
        places += [
            (f"links above {hop}, {way}", f"{way}_{hop}", "") for hop in hops for way in ("up", "down")
        ]
        for row, (where, name, queue) in enumerate(places):
            made.add_row(
                one["method"] if row == 0 else "",
                where,
                number(one[f"load_{name}_mean"], ".3f"),
                number(one[f"load_{name}_max"], ".3f"),
                number(one[queue], ",.1f") if queue else "",
            )
    made.caption = Text("load: time that is asked of a node or link over the time in which requests come")
    return made
