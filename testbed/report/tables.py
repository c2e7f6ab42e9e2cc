"""A run's tables on a terminal, from the run directory alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from testbed.console import widened
from testbed.report.cells import if_valid, not_valid, number, table, with_interval
from testbed.report.published import published_tables
from testbed.report.sources import sources_tables
from testbed.report.theory import theory_tables, with_theory
from testbed.report.way import sample_way
from testbed.results.columns import Row, total
from testbed.results.directory import RunDirectory
from testbed.results.fidelity import CLAIMS
from testbed.results.offload import tie_warnings
from testbed.results.scorers import SCORERS, Scorer

CAUSES = {
    "lateness": "sent late",
    "queue": "queue",
    "inference": "inference",
    "own": "tiers' own",
    "hop_up": "hops up",
    "hop_down": "hops down",
    "unexplained": "unexplained",
}
MAX_REASONS = 5


def render(directory: RunDirectory, *, brief: bool = False) -> RenderableType:
    """All tables of a finished run, a sample request's way, and the verdicts.

    Args:
        brief: what each method is worth, what it costs and what warns of it, in the place of all tables.
    """
    summary = with_theory(directory, directory.read_summary())
    scenario = directory.read_scenario().model_dump(mode="json")
    scorer = SCORERS[scenario["task"]["kind"]]
    faithful = summary["faithful"]
    parts: list[RenderableType] = [
        methods_table(summary, [tier["name"] for tier in scenario["tiers"]], scorer),
        comparison_table(summary, scorer),
        *cost_tables(summary, [tier["name"] for tier in scenario["tiers"]]),
    ]
    if brief:
        parts += [
            Text(warning) for name, by_tier in _offload(summary) for warning in tie_warnings(name, by_tier)
        ]
    else:
        parts += [
            *published_tables(summary, scenario, scorer),
            *offload_tables(summary),
            *theory_tables(summary),
            links_table(directory.read_table("links.parquet"), faithful),
            tiers_table(directory.read_table("tiers.parquet")),
            *([times_table(summary)] if faithful["latency"] else []),
        ]
    requests = directory.read_table("requests.parquet")
    sample = sample_way(requests, directory.read_trace(requests), faithful)
    if sample is not None:
        parts.append(sample)
    if not brief:
        parts += sources_tables(directory.read_manifest())
    return Group(*parts, verdicts(directory.read_fidelity()))


def print_run(directory: RunDirectory, console: Console, *, brief: bool = False) -> None:
    """Print :func:`render`; wide enough for all columns where output is not a terminal."""
    widened(console, 150)
    with directory.understood():
        console.print(render(directory, brief=brief))


def methods_table(summary: Row, tiers: Sequence[str], scorer: Scorer) -> Table:
    """What each method achieved and sent, a line for each.

    Frames are the kernel's own count, and stand whatever the captures are worth.
    """
    faithful = summary["faithful"]
    scores, served = f"{scorer.heading} [95 % CI]", "served by " + "/ ".join(tiers)  # may wrap at a space
    columns = [scores, served, "errors", "prompt KB", "frames KB", "burden", "vs direct"]
    methods = table("Methods", ["method"], columns, unwrapped=[scores])
    for name, figures in summary["methods"].items():
        score = with_interval(figures[scorer.key], figures[scorer.interval_key], f".{scorer.decimals}f")
        methods.add_row(
            name,
            if_valid(score, faithful["quality"]),
            "/".join(str(figures["served_by"][tier]) for tier in tiers),
            str(sum(figures["errors"].values())),
            if_valid(_kilobytes(figures["prompt_bytes"]), faithful["bytes"]),
            _kilobytes(figures["frame_bytes"]),
            if_valid(number(figures["burden_vs_cloud_only"], ".3f"), faithful["bytes"]),
            if_valid(number(figures["burden_vs_direct_cloud"], ".3f"), faithful["bytes"]),
        )
    notes = [
        "burden: prompt bytes on all links over cloud-only's, of requests that both answered",
        "vs direct: over cloud-only's counted once",
    ]
    reasons = [figures.get("vs_cloud_only_reason") for figures in summary["methods"].values()]
    notes += [f"-: {reason}" for reason in dict.fromkeys(filter(None, reasons))]
    for name, figures in summary["methods"].items():
        if figures.get("degraded"):
            notes.append(f"{name}: {figures['degraded']} answers degraded: a tier above could not be reached")
        if figures.get("skipped"):
            notes.append(f"{name}: {figures['skipped']} answers came past a tier that could not be reached")
    notes += _made_up(summary)
    methods.caption = "\n".join([*notes, *not_valid(faithful, "bytes", "quality")])
    return methods


def comparison_table(summary: Row, scorer: Scorer) -> Table:
    """Latencies, and what differs from cloud-only on the same requests, each with its 95 % interval.

    What is not valid stands as ``n/v``.
    """
    faithful = summary["faithful"]
    columns = ["p50 ms", "p95 ms", f"Δ {scorer.heading} vs cloud-only", "Δ mean ms vs cloud-only"]
    title = "Latency, and differences from cloud-only on the same requests, with 95 % intervals"
    comparison = table(title, ["method"], columns, unwrapped=columns)
    for name, figures in summary["methods"].items():
        p50, p95 = (
            with_interval(figures["latency_ms"][percent], figures["latency_ms_ci"][percent], ".0f")
            for percent in ("p50", "p95")
        )
        quality, latency = figures[scorer.difference_key] or {}, figures["latency_vs_cloud_only"] or {}
        better = with_interval(quality.get("difference"), quality.get("ci"), f"+.{scorer.decimals}f")
        later = with_interval(latency.get("difference_ms"), latency.get("ci_ms"), "+.0f")
        comparison.add_row(
            name,
            if_valid(p50, faithful["latency"]),
            if_valid(p95, faithful["latency"]),
            if_valid(better, faithful["quality"]),
            if_valid(later, faithful["latency"]),
        )
    notes = [
        "-: too few answered requests, or nothing to compare with; those that queue together count for less",
        "Δ mean ms: of those that both answered",
    ]
    comparison.caption = "\n".join([*notes, *not_valid(faithful, "quality", "latency")])
    return comparison


def _made_up(summary: Row) -> list[str]:
    """A line for each method with answers that no model gave."""
    lines = []
    for name, figures in summary["methods"].items():
        inferences, answers = (figures.get(f"made_up_{what}") or {} for what in ("inferences", "answers"))
        if any(inferences.values()):
            by_tier = ", ".join(f"{tier} {count:,}" for tier, count in inferences.items() if count)
            lines.append(
                f"{name}: answers made up, not a model's: {by_tier}; "
                f"of those {sum(answers.values()):,} were returned"
            )
    return lines


def offload_tables(summary: Row) -> list[Table]:
    """What share of its requests each tier sent up, beside the share asked for; none if no tier decides."""
    columns = ["decisions", "distinct confidences", "largest tie", "at threshold"]
    columns += ["asked", "expected", "sent up"]
    offload = table("What share each tier sent up, and equal confidences", ["method", "tier"], columns)
    notes = [
        "shares; asked: β, or the method's; expected: of so many requests, if no two confidences were equal",
        "largest tie: the most frequent value in the windows; at threshold: confidence equals the threshold",
    ]
    for name, by_tier in _offload(summary):
        for tier, figures in by_tier.items():
            shares = ("largest_tie", "tied_at_threshold", "share_asked", "share_expected", "share")
            counts = (f"{figures[count]:,}" for count in ("decisions", "distinct_confidences"))
            offload.add_row(name, tier, *counts, *(number(figures[share], ".3f") for share in shares))
        notes += tie_warnings(name, by_tier)
    offload.caption = Text("\n".join(notes))
    return [offload] if offload.row_count else []


def _offload(summary: Row) -> list[tuple[str, Row]]:
    """Each method with its figures of what its tiers sent up, by tier."""
    return [(name, method.get("offload") or {}) for name, method in summary["methods"].items()]


def links_table(rows: Sequence[Row], faithful: Mapping[str, bool]) -> Table:
    """Prompt or answer bytes and all frame bytes by link and direction, a column for each method.

    Frame bytes are the kernel's own count, and are never ``n/v``.
    """
    methods = _methods_of(rows)
    links = table(
        "What crossed each link: prompt or answer bytes / all frame bytes", ["link", "direction"], methods
    )
    links.caption = "\n".join(not_valid(faithful, "bytes"))
    cells = {(row["link"], row["direction"], row["method"]): row for row in rows}
    for link, direction in dict.fromkeys((row["link"], row["direction"]) for row in rows):
        text = "prompt_bytes" if direction == "up" else "answer_bytes"
        by_method = [cells[link, direction, method] for method in methods]
        figures = [
            f"{if_valid(number(row[text], ','), faithful['bytes'])} / {row['frame_bytes']:,}"
            for row in by_method
        ]
        links.add_row(link, f"{direction} ({text.removesuffix('_bytes')})", *figures)
        if any(row["queue_dropped_frames"] or row["lost_frames"] for row in by_method):
            gone = [f"{row['queue_dropped_frames']:,} / {row['lost_frames']:,}" for row in by_method]
            links.add_row("", "frames: queue refused / way lost", *gone, style="dim")
    return links


def tiers_table(rows: Sequence[Row]) -> Table:
    """What each tier's nodes spent together on each method, and how much of it came to nothing."""
    methods = _methods_of(rows)
    tiers = table("Tiers: CPU s / inferences (replaced)", ["tier"], methods)
    for tier in dict.fromkeys(row["tier"] for row in rows):
        nodes = [
            [row for row in rows if (row["tier"], row["method"]) == (tier, method)] for method in methods
        ]
        tiers.add_row(tier, *map(_spent, nodes))
    return tiers


def cost_tables(summary: Row, tiers: Sequence[str]) -> list[Table]:
    """What each method cost, for each request and by tier; none if the scenario has no prices."""
    priced = {name: figures for name, figures in summary["methods"].items() if "cost_unit" in figures}
    if not priced:
        return []
    unit = next(iter(priced.values()))["cost_unit"]
    columns = [
        f"{unit} per 1,000 requests [95 % CI]",
        f"{unit} in all",
        *(f"{unit} {tier}" for tier in tiers),
    ]
    costs = table("Cost, by the scenario's prices", ["method"], columns, unwrapped=columns[:1])
    notes = ["CPU seconds by request: a node's, by its time of inference; in all: idle nodes' too"]
    for name, figures in priced.items():
        each, ends = figures["cost_per_request"], figures["cost_per_request_ci"]
        thousand = None if ends is None else [None if end is None else 1000 * end for end in ends]
        costs.add_row(
            name,
            with_interval(None if each is None else 1000 * each, thousand, ".4g"),
            _sum(figures["cost"]),
            *(_sum(figures["cost_by_tier"][tier]) for tier in tiers),
        )
        if figures["cost_reason"]:
            notes.append(f"-: {name}: {figures['cost_reason']}")
    costs.caption = Text("\n".join(notes))
    return [costs]


def _sum(cost: float | None) -> str:
    """Four digits; a small one without the exponent that a float's would have beside larger ones."""
    return "-" if cost is None else f"{Decimal(cost):.4g}"


def _methods_of(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["method"] for row in rows))


def _spent(nodes: Sequence[Row]) -> str:
    cpu_seconds = number(total(nodes, "cpu_seconds"), ".2f")
    return f"{cpu_seconds} / {total(nodes, 'inferences')} ({total(nodes, 'replaced_inferences')})"


def times_table(summary: Row) -> Table:
    """Where a request's time went under each method: mean milliseconds by cause, which sum to the latency."""
    valid = summary["faithful"]["latency"]
    times = table(
        "Where the time went: mean ms of an answered request", ["method"], ["requests", *CAUSES.values()]
    )
    times.caption = "requests: those that were answered and of which everything was recorded, of all"
    for name, figures in summary["methods"].items():
        spent_ms = figures["spent_ms"] or dict.fromkeys(CAUSES)
        counted = f"{figures['spent_requests']} of {figures['requests']}"
        times.add_row(name, counted, *(if_valid(number(spent_ms[cause], ".2f"), valid) for cause in CAUSES))
    return times


def verdicts(fidelity: Row) -> Table:
    """The four verdicts with what speaks against them."""
    claims = table("May it be believed", ["claim", "verdict", "why not"])
    claims.show_header = False
    for claim in CLAIMS:
        reasons = fidelity["reasons"][claim]
        shown = reasons[:MAX_REASONS]
        if len(reasons) > MAX_REASONS:
            shown.append(f"and {len(reasons) - MAX_REASONS} more in fidelity.json")
        verdict = Text("true", "green") if fidelity["faithful"][claim] else Text("false", "bold red")
        claims.add_row(claim, verdict, Text("\n".join(shown)))
    return claims


def _kilobytes(count: int) -> str:
    return f"{count / 1000:,.1f}"
