"""Theory beside measurement, as tables: shares and bytes by hop, whether recursion pays, and confidences."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from testbed.report.cells import NOT_VALID, if_valid, not_valid, number, table, with_interval
from testbed.results.columns import Row
from testbed.results.directory import RunDirectory
from testbed.results.fidelity import Claim
from testbed.results.scorers import SCORERS
from testbed.results.theory import theory_figures

NOTHING = "n/a"
TITLE = "Theory beside measurement: "


def with_theory(directory: RunDirectory, summary: Row) -> dict[str, Any]:
    """The summary with each method's figures of theory; an older run's are made from its rows."""
    methods: Mapping[str, Row] = summary["methods"]
    if all("theory" in figures for figures in methods.values()):
        return dict(summary)
    scenario = directory.read_scenario()
    rows, right = directory.read_table("requests.parquet"), SCORERS[scenario.task.kind].right
    made = {
        method.name: theory_figures(
            method, [row for row in rows if row["method"] == method.name], scenario.topology, right
        )
        for method in scenario.methods
        if method.name in methods
    }
    return {**summary, "methods": {name: {**methods[name], "theory": made[name]} for name in methods}}


def theory_tables(summary: Row) -> list[Table]:
    """The tables of a summary by :func:`with_theory`; those alone that have something to show."""
    tables = [hops_table(summary), recursion_table(summary), confidences_table(summary)]
    return [made for made in tables if made.row_count]


def hops_table(summary: Row) -> Table:
    """What share of all requests crossed each hop, and their bytes; none for methods with a single tier."""
    columns = ["share: in theory /\nof so many / measured", "prompt KB:\nexpected / measured"]
    columns += ["length ratio\n[95 % CI]"]
    hops = table(f"{TITLE}prompts on each hop", ["method", "from"], columns, unwrapped=columns)
    for name, method in summary["methods"].items():
        for tier, hop in method["theory"]["hops"].items():
            expected = _first(hop["prompt_bytes_expected"], hop["prompt_bytes_asymptotic"])
            measured = if_valid(f"{hop['prompt_bytes'] / 1000:,.1f}", summary["faithful"]["bytes"])
            hops.add_row(
                name,
                tier,
                _cells(hop, ("share_asymptotic", "share_expected", "share"), ".3f"),
                f"{_number(None if expected is None else expected / 1000, ',.1f')} / {measured}",
                _with_interval(hop["length_ratio"], hop["length_ratio_ci"], ".2f"),
            )
    hops.caption = _caption(
        hops,
        summary,
        "shares of all requests; in theory: βᵏ, or as the method asks; of so many: this number",
        "KB expected: that share of all prompt bytes, as if confidence did not go with length",
        "length ratio: E[bytes | sent up] / E[bytes], on the hop over all",
        claims=["bytes"],
    )
    return hops


def recursion_table(summary: Row) -> Table:
    """Inferences and burden of a request beside asking the top tier directly: a line says whether it pays."""
    columns = ["inferences:\nexpected /\nmeasured", "inference ms:\nexpected / measured\n/ top tier alone"]
    columns += ["burden: in theory\n/ with lengths\n/ measured", "pays\nbelow β", "pays"]
    recursion = table(f"{TITLE}does recursion pay", ["method"], columns, unwrapped=columns)
    for name, method in summary["methods"].items():
        if pays := method["theory"]["recursion"]:
            recursion.add_row(name, *_recursion_cells(method, pays, summary["faithful"]))
    recursion.caption = _caption(
        recursion,
        summary,
        "per request; ms expected: the tiers' measured means, C₁ + β C₂ + β² C₃",
        "burden: over asking the top tier in one hop, Σ βᵏ; with lengths: each hop times its length ratio;",
        "measured: as the paper counts it, with answers (without cloud-only, or in older runs: prompts only)",
        "pays below β, if all tiers had the same: in theory / with lengths; pays: in theory / measured",
        claims=["bytes", "latency"],
    )
    return recursion


def _recursion_cells(method: Row, pays: Row, faithful: Mapping[str, bool]) -> list[str]:
    compute = method["theory"]["compute"]
    made, spent_ms = (
        _first(compute[f"{what}_expected"], compute[f"{what}_asymptotic"])
        for what in ("inferences", "inference_ms")
    )
    times = [spent_ms, compute["inference_ms"], compute["inference_ms_of_top"]]
    theory, measured = pays["burden_asymptotic"], method.get("burden_paper_vs_cloud_only")
    valid = measured is not None or faithful["bytes"]
    measured = _first(measured, method["burden_vs_direct_cloud"], pays["burden"])
    seen = [_number(measured, ".3f"), _yes(measured)] if valid else [NOT_VALID, NOT_VALID]
    return [
        _joined([made, compute["inferences"]], ".2f"),
        str(if_valid(_joined(times, ".1f"), faithful["latency"])),
        f"{_joined([theory, pays['burden_with_lengths']], '.3f')} / {seen[0]}",
        _joined([pays["pays_below"], pays["pays_below_with_lengths"]], ".3f"),
        f"{_yes(theory)} / {seen[1]}",
    ]


def confidences_table(summary: Row) -> Table:
    """By tier, how confidence goes with length, and how well it is calibrated; equal lines are one."""
    methods: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name, method in summary["methods"].items():
        for tier, figures in method["theory"]["tiers"].items():
            if figures["inferences"]:
                methods[tier, *_confidence_cells(figures, summary["faithful"]["quality"])].append(name)
    columns = ["inferences", "correlation with\nlength [95 % CI]", "calibration\nerror", "by\nchance"]
    confidences = table("Confidences", ["tier", "methods"], columns, unwrapped=columns)
    tiers = [tier for method in summary["methods"].values() for tier in method["theory"]["tiers"]]
    for tier, *cells in sorted(methods, key=lambda line: tiers.index(line[0])):
        confidences.add_row(tier, ", ".join(methods[tier, *cells]), *cells)
    confidences.caption = _caption(
        confidences,
        summary,
        "correlation: Spearman's, of confidence and prompt bytes",
        "calibration error: the expected one, over 15 bins; by chance: its mean if as many",
        "answers were right as often as their confidences say",
        claims=["quality"],
    )
    return confidences


def _confidence_cells(figures: Row, valid: bool) -> list[str]:
    errors = (figures["calibration_error"], figures["calibration_error_by_chance"])
    return [
        f"{figures['inferences']:,}",
        _with_interval(figures["length_correlation"], figures["length_correlation_ci"], "+.2f"),
        *(str(if_valid(_number(error, ".3f"), valid)) for error in errors),
    ]


def _caption(made: Table, summary: Row, *notes: str, claims: Sequence[Claim]) -> Text:
    """The lines below a table; those on what stands in place of a figure only where it does."""
    cells = [str(cell) for column in made.columns for cell in column.cells]
    missing = [f"{NOTHING}: the method does not say, or the run lacks the column or has too few"]
    lines = [*notes, *(missing if any(NOTHING in cell for cell in cells) else [])]
    return Text("\n".join([*lines, *not_valid(summary["faithful"], *claims)]))


def _cells(figures: Row, keys: Sequence[str], form: str) -> str:
    return _joined([figures[key] for key in keys], form)


def _joined(values: Sequence[float | None], form: str) -> str:
    return " / ".join(_number(value, form) for value in values)


def _number(value: float | None, form: str) -> str:
    return number(value, form, missing=NOTHING)


def _with_interval(value: float | None, ends: Sequence[float | None] | None, form: str) -> str:
    return NOTHING if value is None else with_interval(value, ends, form).plain


def _first(*values: float | None) -> float | None:
    """The first value that is there."""
    return next((value for value in values if value is not None), None)


def _yes(burden: float | None) -> str:
    """Whether a burden is below that of asking directly."""
    if burden is None:
        return NOTHING
    return "yes" if burden < 1 else "no"
