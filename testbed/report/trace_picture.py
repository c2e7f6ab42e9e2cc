"""A trace in the terminal: its figures, and a picture of its rate over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from rich.console import Console
from rich.text import Text

from testbed.console import widened
from testbed.report.cells import number
from testbed.scenario.reading.units import duration

HEIGHT = 8
BAR = 40
MOST_DEVICES = 12
_EIGHTHS = " ▁▂▃▄▅▆▇█"


def print_trace(title: str, shape: Mapping[str, Any], console: Console) -> None:
    """Print all that is known of a trace; wide enough where output is no terminal."""
    wide = widened(console, 110)
    ascii_only = not console.encoding.lower().startswith("utf")
    for line in trace_lines(title, shape, ascii_only=ascii_only):
        wide.print(Text(line), soft_wrap=True)


def trace_lines(title: str, shape: Mapping[str, Any], *, ascii_only: bool = False) -> list[str]:
    """The same as lines."""
    return [
        title,
        *_summary(shape),
        *_rate(shape["rate_over_time"], ascii_only),
        *_bursts(shape),
        *_prompts(shape, ascii_only),
        *_named("device", shape["devices"], ascii_only),
        *_datasets(shape, ascii_only),
        *_header(shape["header"]),
    ]


def _summary(shape: Mapping[str, Any]) -> list[str]:
    lasts = duration(shape["duration_s"]) if shape["duration_s"] else "no time"
    rate = number(shape["rate_per_s"], ",.3g")
    repeated = shape["repeated_prompts"]
    again = f"; {repeated:,} ask a prompt that an earlier one had" if repeated else ""
    return [f"{shape['requests']:,} requests in {lasts}, {rate} a second on average{again}"]


def _rate(over_time: Mapping[str, Any] | None, ascii_only: bool) -> list[str]:
    if over_time is None:
        return []
    counts, bin_s = over_time["requests"], over_time["bin_s"]
    most = max(counts) / bin_s
    drawn = columns_chart(counts, HEIGHT, ascii_only=ascii_only)
    labels = [f"{most:,.3g}", *[""] * (HEIGHT - 2), "0"]
    width = max(map(len, labels))
    end = duration(bin_s * len(counts))
    lines = [f"{label:>{width}} |{line}" for label, line in zip(labels, drawn, strict=True)]
    axis = f"{'':{width}} +{'-' * len(counts)}"
    return [
        "",
        f"requests a second, each column {_short(bin_s)}",
        *lines,
        axis,
        f"{'':{width}}  0{end:>{len(counts) - 1}}",
    ]


def _short(seconds: float) -> str:
    return f"{seconds:,.3g} s" if seconds < 60 else duration(seconds)


def columns_chart(values: Sequence[float], height: int, *, ascii_only: bool = False) -> list[str]:
    """Columns that grow upwards, in lines from the top; the highest fills all of them."""
    most = max(values, default=0) or 1
    marks = " .:#" if ascii_only else _EIGHTHS
    steps = len(marks) - 1
    heights = [round(value / most * height * steps) or int(value > 0) for value in values]
    return [
        "".join(marks[min(steps, max(0, filled - level * steps))] for filled in heights)
        for level in range(height - 1, -1, -1)
    ]


def _bursts(shape: Mapping[str, Any]) -> list[str]:
    lines = []
    if gaps := shape["gaps_s"]:
        same = (
            f"; {gaps['of_0']:.1%} of requests come at the same moment as the one before"
            if gaps["of_0"]
            else ""
        )
        lines.append(
            f"gaps: {_short(gaps['mean'])} on average, {_short(gaps['largest'])} at most; they vary by "
            f"{gaps['variation']:.2f} of their mean (Poisson: 1){same}"
        )
    if shape["dispersion"]:
        each = ", ".join(f"{one['index']:.2f} over {_window(one['window_s'])}" for one in shape["dispersion"])
        lines.append(f"burstiness: index of dispersion of counts {each} (Poisson: 1 over any)")
    return ["", *lines] if lines else []


def _window(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 60 else duration(seconds)


def _prompts(shape: Mapping[str, Any], ascii_only: bool) -> list[str]:
    if shape["prompt_bytes"] is None:
        return ["", f"prompts: lengths are not known: {shape['prompt_bytes_lack']}"]
    bytes_ = shape["prompt_bytes"]
    lines = [
        f"prompts: {bytes_['mean']:,} bytes on average, {bytes_['p50']:,} at the median, {bytes_['p5']:,} to "
        f"{bytes_['p95']:,} from the 5th to the 95th percentile, {bytes_['largest']:,} at most"
    ]
    edges, counts = bytes_["histogram"]["edges"], bytes_["histogram"]["requests"]
    labels = [f"{low:,.0f} to {high:,.0f}" for low, high in pairwise(edges)]
    return ["", *lines, *_bars(labels, counts, ascii_only)]


def _named(what: str, shares: Mapping[str, Mapping[str, Any]], ascii_only: bool) -> list[str]:
    shown = list(shares.items())[:MOST_DEVICES]
    rest = len(shares) - len(shown)
    heading = f"requests by {what}" + (
        f", the {MOST_DEVICES} with the most of {len(shares):,}" if rest else ""
    )
    labels, counts = [name for name, _ in shown], [one["requests"] for _, one in shown]
    return ["", heading, *_bars(labels, counts, ascii_only, [one["share"] for _, one in shown])]


def _datasets(shape: Mapping[str, Any], ascii_only: bool) -> list[str]:
    lines = _named("data set", shape["datasets"], ascii_only)
    if shape["datasets_by_quarter"]:
        quarters = [
            ", ".join(f"{name} {count:,}" for name, count in quarter.items())
            for quarter in shape["datasets_by_quarter"]
        ]
        lines.append(f"by quarter of the requests: {'; '.join(quarters)}")
    return lines


def _bars(
    labels: Sequence[str], counts: Sequence[int], ascii_only: bool, shares: Sequence[float] | None = None
) -> list[str]:
    width, most = max(map(len, labels), default=0), max(counts, default=0) or 1
    mark = "#" if ascii_only else "█"
    ends = [""] * len(labels) if shares is None else [f"  {share:.1%}" for share in shares]
    return [
        f"  {label:>{width}} {mark * round(count / most * BAR):{BAR}} {count:>9,}{end}"
        for label, count, end in zip(labels, counts, ends, strict=True)
    ]


def _header(header: Mapping[str, Any] | None) -> list[str]:
    """Where the trace comes from, and what was lost or rounded on the way."""
    if header is None:
        return ["", "header: none"]
    lines = ["", "header:"]
    for key, value in header.items():
        if isinstance(value, Mapping) and any(isinstance(one, Mapping) for one in value.values()):
            lines += [f"  {key}:", *(f"    {name}: {_said(one)}" for name, one in value.items())]
        elif value is not None:
            lines.append(f"  {key}: {_said(value)}")
    return lines


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_said(one)}" for key, one in value.items() if one not in (None, "", [], {}))
    if isinstance(value, list):
        return ", ".join(map(_said, value))
    return f"{value:,}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
