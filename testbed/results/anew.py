"""Computes again what of a run's files follows from others, so that a changed number is found, sealed or not.

Tables are held against themselves and one another, ``summary.json`` against the tables, the evidence in
``fidelity.json`` against the tables, and its verdicts against its evidence. The tables of bytes are held
against the captures by ``testbed audit --wire``. What only the run could see (probes, CPUs, links) has
nothing to be held against.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import ValidationError

from testbed.results.columns import SCHEMA_VERSION, Row
from testbed.results.cost import is_priced, with_costs
from testbed.results.directory import RunDirectory
from testbed.results.fidelity import CLAIMS, SAME_NAMES, evidence_of, judge
from testbed.results.limits import limits_of
from testbed.results.recorded import TOLERANCE, Recorded, alike
from testbed.results.shapes import told
from testbed.results.shown import against_evidence
from testbed.results.summary import plain_percentile, summarise
from testbed.results.times import HOP_COLUMNS, NODE_COLUMNS, work_ms
from testbed.results.whole import lacking, lacking_rows, newer_columns, wrong_fidelity_schema
from testbed.scenario.scenario import Scenario

TOLERANCE_MS = 1e-6
PARTS = (
    "prompt_bytes", "answer_bytes", "envelope_bytes", "instrumentation_bytes", "http_header_bytes",
    "packet_header_bytes", "tcp_control_bytes", "retransmitted_bytes", "other_bytes",
)  # fmt: skip
"""Columns of ``links.parquet`` that sum to the bytes of its frames, with those that are unaccounted."""
_TODAYS_INTERVALS = 5
"""From which schema version on intervals of latencies are by today's rules."""
_TODAYS_VERDICTS = 3
"""From which ``schema`` of ``fidelity.json`` on verdicts are by today's rules; 4 counts waits otherwise."""


def computed_anew(
    directory: RunDirectory, scenario: Scenario, requests: Sequence[Row], decisions: int
) -> Iterator[str]:
    """A sentence for each figure of a run that is not what others of it give.

    Args:
        requests: the rows of ``requests.parquet``.
        decisions: how many the audit finds there.

    Raises:
        TestbedError: a file that is there is damaged.
    """
    run = Recorded(directory, scenario, requests, decisions)
    yield from lacking(directory, scenario)
    yield from newer_columns(directory)
    yield from lacking_rows(run)
    yield from (f"requests.parquet: {text}" for text in _requests(run))
    yield from (f"links.parquet: {text}" for text in _links(run))
    yield from (f"tiers.parquet: {text}" for text in _tiers(run))
    yield from (f"summary.json: {text}" for text in _summary(run))
    yield from (f"fidelity.json: {text}" for text in _fidelity(run))


def _requests(run: Recorded) -> Iterator[str]:
    same: dict[str, tuple[Any, ...]] = {}
    for row in run.requests:
        where = f"{row['request_id']} under {row['method']}"
        lists = NODE_COLUMNS + HOP_COLUMNS
        parts = [row["lateness_ms"], row["unexplained_ms"], *(ms for name in lists for ms in row[name])]
        sums = {
            "latency_ms": math.fsum(ms for ms in parts if ms is not None),
            "lateness_ms": (row["sent_at_s"] - row["scheduled_at_s"]) * 1000,
        }
        latency_ms = (row["done_at_s"] - row["scheduled_at_s"]) * 1000
        for name, value in (*sums.items(), ("latency_ms", latency_ms)):
            if not math.isclose(row[name], value, rel_tol=TOLERANCE, abs_tol=TOLERANCE_MS):
                yield f"{where}: {name} is {row[name]:.6g}, and its other times give {value:.6g}"
        if row["correct"] != (row["answer"] == row["reference"]):
            yield f"{where}: correct is {str(row['correct']).lower()}, and answer and reference say otherwise"
        asked = (row["reference"], row["prompt_bytes"])
        if same.setdefault(row["request_id"], asked) != asked:
            yield f"{where}: reference or prompt_bytes is not what it is under another method"
    if is_priced(run.scenario) and run.tiers is not None:
        for method, rows in run.by_method.items():
            nodes = [row for row in run.tiers if row["method"] == method]
            for row, again in zip(rows, with_costs(run.scenario, method, rows, nodes), strict=True):
                if not alike(row["cost"], again["cost"]):
                    yield f"{row['request_id']} under {method}: cost is {row['cost']}, not {again['cost']}"


def _links(run: Recorded) -> Iterator[str]:
    texts: Counter[tuple[str, str, str]] = Counter()
    for row in run.requests:
        hops = zip(row["hops"], row["hop_prompt_bytes"], row["hop_answer_bytes"], strict=True)
        for link, prompt_bytes, answer_bytes in hops:
            texts[row["method"], link, "up"] += prompt_bytes
            texts[row["method"], link, "down"] += answer_bytes
    for row in run.links or ():
        key = row["method"], row["link"], row["direction"]
        where = f"{row['link']} {row['direction']} under {row['method']}"
        parts = sum(row[part] for part in PARTS) + row["unaccounted_bytes"]
        if row["frame_bytes"] != parts:
            yield f"{where}: frame_bytes is {row['frame_bytes']:,}, and its parts are {parts:,}"
        text = row["prompt_bytes"] + row["answer_bytes"] - row["unattributed_bytes"]
        if text != texts[key]:
            yield f"{where}: {text:,} bytes of text are requests', and requests.parquet has {texts[key]:,}"


def _tiers(run: Recorded) -> Iterator[str]:
    """A node that a request reached twice, or that died, did more than the requests show."""
    shown: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in run.requests:
        for at, node in enumerate(row["path"]):
            if row["confidences"][at] is not None:
                did = {"inferences": 1, "inference_ms": work_ms(row, at), "kept": int(row["kept"][at])}
                shown[row["method"], node].update(did)
    smooth = {method for method, rows in run.by_method.items() if all(map(_is_smooth, rows))}
    for row in run.tiers or ():
        for name in ("inferences", "inference_ms", "kept"):
            told, there = row[name], shown[row["method"], row["node"]][name]
            if not alike(told, there) and (told < there or row["method"] in smooth):
                where = f"{row['node']} under {row['method']}"
                yield f"{where}: {name} is {told:.6g}, and requests.parquet has {there:.6g}"


def _is_smooth(row: Row) -> bool:
    """Whether each node met the request once: it was answered, and no way up failed."""
    again = (*row["forward_errors"], *row["repeats"], *(row["skipped"] or ()))
    return bool(row["outcome"] == "answered") and not any(again)


def _summary(run: Recorded) -> Iterator[str]:
    if run.summary is None or run.links is None or run.tiers is None:
        return
    judged = "made_by" not in run.directory.read_manifest()
    again = summarise(run.scenario, run.requests, run.links, {}, run.tiers, judged=judged)["methods"]
    written, version = run.summary["methods"], run.directory.schema_version()
    if version < SCHEMA_VERSION:
        again = {name: _as_far_as(written.get(name, figures), figures) for name, figures in again.items()}
    if version < _TODAYS_INTERVALS:
        again = {
            name: _by_older_rules(run.by_method[name], written[name], figures) if name in written else figures
            for name, figures in again.items()
        }
    yield from _differences(written, again, "methods")
    if run.fidelity is not None and run.summary["faithful"] != run.fidelity["faithful"]:
        yield "its verdicts are not those of fidelity.json"


def _as_far_as(written: Any, again: Any) -> Any:
    """Of a summary computed again, what the written one has too: older ones lack keys."""
    if isinstance(written, dict) and isinstance(again, dict):
        return {key: _as_far_as(written[key], again[key]) for key in written if key in again}
    return again


def _by_older_rules(rows: Sequence[Row], written: Mapping[str, Any], again: Mapping[str, Any]) -> Any:
    """A method's figures computed again, with what is by another rule today as it is written.

    That are the intervals of latencies, and which percentiles a sample is large enough for.
    """
    figures = {**again, "latency_ms_ci": written["latency_ms_ci"], "latency_ms": {**again["latency_ms"]}}
    for name, value in written["latency_ms"].items():
        if value is not None and name in figures["latency_ms"]:
            figures["latency_ms"][name] = plain_percentile(rows, float(name.removeprefix("p")))
    differs = written.get("latency_vs_cloud_only")
    if differs and again["latency_vs_cloud_only"]:
        figures["latency_vs_cloud_only"] = {**again["latency_vs_cloud_only"], "ci_ms": differs["ci_ms"]}
    return figures


def _differences(written: Any, again: Any, path: str) -> Iterator[str]:
    """Where two values of JSON differ."""
    if isinstance(written, dict) and isinstance(again, dict):
        for key in dict.fromkeys((*again, *written)):
            if key not in written:
                yield f"{path}.{key} is missing"
            elif key in again:
                yield from _differences(written[key], again[key], f"{path}.{key}")
            else:
                yield f"{path}.{key} is no figure of such a run"
    elif not alike(written, again):
        yield f"{path} is {written!r}, and the tables give {again!r}"


def _fidelity(run: Recorded) -> Iterator[str]:
    fidelity = run.fidelity
    if fidelity is None:
        return
    for claim in CLAIMS:
        if bool(fidelity["faithful"][claim]) == bool(fidelity["reasons"][claim]):
            yield f"{claim} is {str(fidelity['faithful'][claim]).lower()}, and its reasons say otherwise"
    schema: Any = fidelity.get("schema")
    if wrong := wrong_fidelity_schema(run.directory.schema_version(), schema):
        yield wrong
        return
    if schema < _TODAYS_VERDICTS:
        return
    if lacking := [name for name in SAME_NAMES if name not in fidelity]:
        yield f"it lacks {', '.join(lacking)}, on which its verdicts rest"
        return
    limits = limits_of(schema)
    known, given = asdict(limits), fidelity.get("limits", {})
    if given != {name: known.get(name) for name in given}:
        yield "its limits are not those by which this version judges"
    try:
        evidence = evidence_of(fidelity, run.scenario)
    except ValidationError as error:
        yield f"its evidence is none: {told(error, fidelity)}"
        return
    yield from against_evidence(run, evidence)
    whole = run.directory.read_manifest()["status"] == "finished"
    for claim, reasons in judge(evidence, limits).reasons.items():
        if reasons and fidelity["faithful"][claim]:
            yield f"{claim} is true, and its evidence speaks against it: {reasons[0]}"
        elif whole and not reasons and not fidelity["faithful"][claim]:
            yield f"{claim} is false, and nothing in its evidence speaks against it"
