"""A run's tables on a terminal, from the run directory alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from testbed.results.columns import total
from testbed.results.directory import RunDirectory
from testbed.results.fidelity import CLAIMS, Claim
from testbed.results.times import HOP_COLUMNS
from testbed.scenario.workload.trace_file import Request

Row = Mapping[str, Any]
NOT_VALID = "n/v"
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


def render(directory: RunDirectory) -> RenderableType:
    """All tables of a finished run, a sample request's way, and the verdicts."""
    summary = directory.read_json("summary.json")
    requests = directory.read_table("requests.parquet")
    links = directory.read_table("links.parquet")
    tiers_used = directory.read_table("tiers.parquet")
    fidelity = directory.read_json("fidelity.json")
    tiers = [tier["name"] for tier in directory.read_json("manifest.json")["scenario"]["tiers"]]
    faithful = summary["faithful"]
    parts: list[RenderableType] = [
        methods_table(summary, tiers),
        comparison_table(summary),
        links_table(links, faithful),
        tiers_table(tiers_used),
    ]
    if faithful["latency"]:
        parts.append(times_table(summary))
    if (sample := sample_way(requests, directory.read_trace(), faithful)) is not None:
        parts.append(sample)
    parts.append(verdicts(fidelity))
    return Group(*parts)


def print_run(directory: RunDirectory, console: Console) -> None:
    """Print :func:`render`; wide enough for all columns where output is not a terminal."""
    if not console.is_terminal:
        console.width = max(console.width, 150)
    console.print(render(directory))


def methods_table(summary: Row, tiers: Sequence[str]) -> Table:
    """What each method achieved and sent: one line for each. Frames are the kernel's own count, and stand
    whatever the captures are worth.
    """
    faithful = summary["faithful"]
    table = Table(title="Methods", title_justify="left", caption_justify="left")
    table.add_column("method")
    table.add_column(f"{_measure(summary)} [95 % CI]", justify="right", no_wrap=True)
    table.add_column("served by " + "/ ".join(tiers), justify="right")  # it may wrap at a space
    for name in ("errors", "prompt KB", "frames KB", "burden", "vs direct"):
        table.add_column(name, justify="right")
    for name, figures in summary["methods"].items():
        table.add_row(
            name,
            _if_valid(_quality(figures), faithful["quality"]),
            "/".join(str(figures["served_by"][tier]) for tier in tiers),
            str(sum(figures["errors"].values())),
            _if_valid(_kilobytes(figures["prompt_bytes"]), faithful["bytes"]),
            _kilobytes(figures["frame_bytes"]),
            _if_valid(_ratio(figures["burden_vs_cloud_only"]), faithful["bytes"]),
            _if_valid(_ratio(figures["burden_vs_direct_cloud"]), faithful["bytes"]),
        )
    notes = ["burden: prompt bytes on all links over cloud-only's; vs direct: over cloud-only's counted once"]
    reasons = dict.fromkeys(
        figures["vs_cloud_only_reason"]
        for figures in summary["methods"].values()
        if "vs_cloud_only_reason" in figures
    )
    notes += [f"-: {reason}" for reason in reasons]
    table.caption = "\n".join([*notes, *_not_valid(faithful, "bytes", "quality")])
    return table


def comparison_table(summary: Row) -> Table:
    """Latencies, and what differs from cloud-only on the same requests, each with its 95 % interval.

    What is not valid stands as ``n/v``.
    """
    faithful = summary["faithful"]
    measure = _measure(summary)
    table = Table(
        title="Latency, and differences from cloud-only on the same requests, with 95 % intervals",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("method")
    for name in ("p50 ms", "p95 ms", f"Δ {measure} vs cloud-only", "Δ mean ms vs cloud-only"):
        table.add_column(name, justify="right", no_wrap=True)
    key, form = ("bleu_vs_cloud_only", "+.1f") if measure == "BLEU" else ("accuracy_vs_cloud_only", "+.3f")
    for name, figures in summary["methods"].items():
        latencies = [
            _with_interval(figures["latency_ms"][one], figures["latency_ms_ci"][one], ".0f")
            for one in ("p50", "p95")
        ]
        quality, latency = figures[key] or {}, figures["latency_vs_cloud_only"] or {}
        better = _with_interval(quality.get("difference"), quality.get("ci"), form)
        later = _with_interval(latency.get("difference_ms"), latency.get("ci_ms"), "+.0f")
        p50, p95, slower = (_if_valid(one, faithful["latency"]) for one in (*latencies, later))
        table.add_row(name, p50, p95, _if_valid(better, faithful["quality"]), slower)
    notes = [
        "-: too few answered requests, or nothing to compare with; Δ mean ms: of those that both answered"
    ]
    table.caption = "\n".join([*notes, *_not_valid(faithful, "quality", "latency")])
    return table


def _measure(summary: Row) -> str:
    return "BLEU" if any("bleu" in figures for figures in summary["methods"].values()) else "accuracy"


def _with_interval(value: float | None, ends: Sequence[float | None] | None, form: str) -> Text:
    """A value and its interval; an end that is ``None`` has no bound."""
    if value is None:
        return Text("-")
    if ends is None:
        return Text(f"{value:{form}}")
    low, high = ("∞" if end is None else f"{end:{form}}" for end in ends)
    return Text(f"{value:{form}} [{low}, {high}]")


def links_table(links: Sequence[Row], faithful: Mapping[str, bool]) -> Table:
    """Prompt bytes and all frame bytes by link and direction, a column for each method. Of frame bytes, the
    kernel's own count, ``n/v`` is never said.
    """
    methods = list(dict.fromkeys(row["method"] for row in links))
    table = Table(
        title="What crossed each link: prompt or answer bytes / all frame bytes",
        title_justify="left",
        caption="\n".join(_not_valid(faithful, "bytes")),
        caption_justify="left",
    )
    table.add_column("link")
    table.add_column("direction")
    for method in methods:
        table.add_column(method, justify="right")
    cells = {(row["link"], row["direction"], row["method"]): row for row in links}
    for link, direction in dict.fromkeys((row["link"], row["direction"]) for row in links):
        text = "prompt_bytes" if direction == "up" else "answer_bytes"
        own = [cells[link, direction, method] for method in methods]
        figures = [
            f"{_if_valid(f'{row[text]:,}', faithful['bytes'])} / {row['frame_bytes']:,}" for row in own
        ]
        table.add_row(link, f"{direction} ({text.removesuffix('_bytes')})", *figures)
        if any(row["queue_dropped_frames"] or row["lost_frames"] for row in own):
            gone = [f"{row['queue_dropped_frames']:,} / {row['lost_frames']:,}" for row in own]
            table.add_row("", "frames: queue refused / way lost", *gone, style="dim")
    return table


def tiers_table(tiers: Sequence[Row]) -> Table:
    """What each tier's nodes spent together on each method, and how much of it came to nothing."""
    methods = list(dict.fromkeys(row["method"] for row in tiers))
    table = Table(
        title="Tiers: CPU s / inferences (replaced)",
        title_justify="left",
    )
    table.add_column("tier")
    for method in methods:
        table.add_column(method, justify="right")
    for tier in dict.fromkeys(row["tier"] for row in tiers):
        own = [[row for row in tiers if (row["tier"], row["method"]) == (tier, method)] for method in methods]
        table.add_row(tier, *map(_spent, own))
    return table


def _spent(rows: Sequence[Row]) -> str:
    cpu_seconds, inferences, replaced = (
        total(rows, column) for column in ("cpu_seconds", "inferences", "replaced_inferences")
    )
    return f"{'-' if cpu_seconds is None else f'{cpu_seconds:.2f}'} / {inferences} ({replaced})"


def times_table(summary: Row) -> Table:
    """Where a request's time went under each method: mean milliseconds by cause, which sum to the latency."""
    valid = summary["faithful"]["latency"]
    table = Table(
        title="Where the time went: mean ms of an answered request",
        title_justify="left",
        caption="requests: those that were answered and of which everything was recorded, of all",
        caption_justify="left",
    )
    table.add_column("method")
    for heading in ("requests", *CAUSES.values()):
        table.add_column(heading, justify="right")
    for name, figures in summary["methods"].items():
        spent = figures["spent_ms"] or dict.fromkeys(CAUSES)
        counted = f"{figures['spent_requests']} of {figures['requests']}"
        table.add_row(name, counted, *(_milliseconds(spent[cause], valid, digits=2) for cause in CAUSES))
    return table


def sample_way(
    requests: Sequence[Row], trace: Sequence[Request], faithful: Mapping[str, bool]
) -> Table | None:
    """One request's way through the tiers: the first that went furthest under a method that decides. Its
    bytes are those that the captures found.
    """
    deciding = [row for row in requests if row["outcome"] == "answered" and any(row["thresholds"])]
    if not deciding:
        return None
    row = max(deciding, key=lambda row: (len(row["path"]), row["window_seqs"][0] is not None))
    asked = next(request for request in trace if request.id == row["request_id"])
    table = Table(
        title=Text(
            f"One request ({row['request_id']}, {row['method']}): "
            f"row {asked.row} of {asked.dataset}, {asked.split}"
        ),
        title_justify="left",
        caption=Text(f"answered {row['answer']} by {row['tier']}, reference {row['reference']}"),
        caption_justify="left",
    )
    for column in ("node", "answer", "confidence", "threshold", "window", "decision", "inference ms"):
        table.add_column(column, justify="left" if column in ("node", "answer", "decision") else "right")
    for column in ("hop up ms", "hop down ms", "prompt / answer bytes"):
        table.add_column(column, justify="right")
    for at, node in enumerate(row["path"]):
        crossed = at < len(row["hops"])
        times = [row[column][at] if crossed else None for column in HOP_COLUMNS]
        texts = f"{row['hop_prompt_bytes'][at]:,} / {row['hop_answer_bytes'][at]:,}" if crossed else ""
        table.add_row(
            node,
            Text(row["node_answers"][at] or ""),
            _number(row["confidences"][at]),
            _number(row["thresholds"][at]),
            "" if row["window_lengths"][at] is None else str(row["window_lengths"][at]),
            "kept" if row["kept"][at] else "sent up",
            _milliseconds(row["inference_ms"][at], faithful["latency"], digits=1),
            *("" if ms is None else _milliseconds(ms, faithful["latency"], digits=1) for ms in times),
            _if_valid(texts, faithful["bytes"] or not crossed),
        )
    return table


def verdicts(fidelity: Row) -> Table:
    """The four verdicts with what speaks against them."""
    table = Table(title="May it be believed", title_justify="left", show_header=False)
    table.add_column("claim")
    table.add_column("verdict")
    table.add_column("why not")
    for claim in CLAIMS:
        true = fidelity["faithful"][claim]
        reasons = fidelity["reasons"][claim]
        shown = list(reasons[:MAX_REASONS])
        if len(reasons) > MAX_REASONS:
            shown.append(f"and {len(reasons) - MAX_REASONS} more in fidelity.json")
        verdict = Text("true", "green") if true else Text("false", "bold red")
        table.add_row(claim, verdict, Text("\n".join(shown)))
    return table


def _quality(figures: Row) -> Text:
    if "bleu" in figures:
        return _with_interval(figures["bleu"], figures["bleu_ci"], ".1f")
    return _with_interval(figures["accuracy"], figures["accuracy_ci"], ".3f")


def _if_valid(cell: str | Text, valid: bool) -> str | Text:
    return cell if valid else NOT_VALID


def _not_valid(faithful: Mapping[str, bool], *claims: Claim) -> list[str]:
    """What to say of ``n/v`` below a table."""
    reason = "may not be believed in this run, for the reasons below"
    return [f"{NOT_VALID}: {claim} {reason}" for claim in claims if not faithful[claim]]


def _milliseconds(value: float | None, valid: bool, digits: int = 0) -> str:
    if not valid:
        return NOT_VALID
    return "-" if value is None else f"{value:.{digits}f}"


def _kilobytes(count: int) -> str:
    return f"{count / 1000:,.1f}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
