"""What is measured on the wire: scenarios with recorded tiers, run as sweeps, and their figures."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from testbed.console import Quiet, Reporter
from testbed.errors import TestbedError
from testbed.report.figures.run_data import PARTS
from testbed.results.directory import RunDirectory
from testbed.results.fidelity import Claim as Judged
from testbed.results.run import Run
from testbed.results.statistics import Estimate, mean_of_seeds, share_interval
from testbed.scenario.matrix import read_matrix
from testbed.scenario.workload.trace_file import Request, write_trace
from testbed.scenario.written import schema_line
from testbed.study.paper.recorded import OF_CLOUD, Values
from testbed.study.paper.verdicts import NotTestable, Value
from testbed.study.sweep.directory import SweepDirectory
from testbed.study.sweep.points import Wanted
from testbed.study.sweep.run import failed, sweep
from testbed.study.what_if.matrices import Wanted as WantedTrace
from testbed.study.what_if.matrices import study_of_matrices
from testbed.study.what_if.predict import what_if_scenario

RecordedTiers = Mapping[str, str]
"""By tier, lowest first, the model of the recording that it is."""
RATE_PER_S = 20
"""Of requests while a tier cannot be reached; in lockstep it does not matter."""
METHOD = "recserve-0.3"
"""Whose bytes are held against the paper's formula."""
SWEPT = "swept"
UNREACHABLE = "unreachable"
READINGS = ("when_unreachable=keep,skip",)
"""Both readings of the paper: the best answer so far, and past the tier."""
RESTS_ON: Sequence[Judged] = ("bytes", "decisions", "quality")
"""The verdicts of a run on which figures here rest; none is about times."""


def write_scenario(
    kind: str, matrix: Path, tiers: RecordedTiers, requests: int, seeds: int, path: Path
) -> Wanted:
    """Write a sweep's scenario, :data:`SWEPT` or :data:`UNREACHABLE`, and its traces beside it.

    A trace asks rows that were recorded, in the order of its seed, none of them twice. The same arguments
    write the same files.

    Returns:
        What is to be swept.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    read = read_matrix(matrix)
    header, traces = read.header, _trace_names(path, seeds)
    for seed, name in enumerate(traces, start=1):
        wanted = WantedTrace(tiers=",".join(tiers), requests=min(requests, len(read)), seed=seed)
        write_trace(_paced(study_of_matrices([(matrix, read)], wanted).trace), path.parent / name)
    data: dict[str, Any] = {
        "name": f"paper-{kind}",
        "task": {"kind": header.task.kind, "dataset": header.dataset.name},
        "tiers": [_tier(name, model, matrix) for name, model in tiers.items()],
        "links": [
            {"name": f"hop{hop}", "between": list(pair), "rate": rate, "delay": delay}
            for hop, (pair, rate, delay) in enumerate(_links(list(tiers)), start=1)
        ],
        "methods": _methods(list(tiers)),
        "trace": {"file": traces[0], "unit": "s", "seed": 1},
        "replay": {"mode": "lockstep", "deadline": "30s"},
    }
    if header.task.labels:
        data["task"]["labels"] = list(header.task.labels)
    if kind == UNREACHABLE:
        data |= _unreachable(list(tiers))
    path.write_text(schema_line(path.parent) + yaml.safe_dump(data, sort_keys=False, allow_unicode=True))
    return wanted_of(kind, path, seeds)


def wanted_of(kind: str, path: Path, seeds: int) -> Wanted:
    """What is to be swept of a scenario that was written there."""
    if kind == UNREACHABLE:
        return Wanted(path, READINGS)
    return Wanted(path, [f"trace.file={','.join(_trace_names(path, seeds))}"])


def _trace_names(path: Path, seeds: int) -> list[str]:
    return [f"{path.stem}-{seed}.jsonl" for seed in range(1, seeds + 1)]


def _paced(trace: Sequence[Request]) -> list[Request]:
    """The same requests at :data:`RATE_PER_S`."""
    return [replace(request, at_s=round(request.at_s / RATE_PER_S, 6)) for request in trace]


def _tier(name: str, model: str, matrix: Path) -> dict[str, Any]:
    recorded = {"kind": "recorded", "path": str(matrix.absolute()), "model": model, "service": "1ms"}
    return {"name": name, "nodes": 1, "model": recorded, "cpus": 0.25, "memory": "256MiB"}


def _links(tiers: Sequence[str]) -> Iterator[tuple[tuple[str, str], str, str]]:
    for at, pair in enumerate(pairwise(tiers)):
        yield pair, "20mbit" if at == 0 else "100mbit", "5ms" if at == 0 else "10ms"


def _methods(tiers: Sequence[str]) -> list[dict[str, Any]]:
    """Cloud-only and RecServe at the paper's β, and its rivals; their thresholds there are not known."""
    recserve = [
        {"name": f"recserve-{beta}", "policy": "recserve", "beta": beta, "window": 10_000}
        for beta in (0.1, 0.3, 0.5)
    ]
    thresholds = dict.fromkeys(tiers[:-1], 0.85)
    return [
        {"name": f"{tiers[-1]}-only"},
        *recserve,
        {"name": "casserve", "thresholds": thresholds},
        {"name": "colserve", "share": 0.3},
    ]


def _unreachable(tiers: Sequence[str]) -> dict[str, Any]:
    """A link goes down, a tier stands still, a tier is killed: each while requests come."""
    middle = f"{tiers[1]}1"
    return {
        "methods": [{"name": "recserve", "beta": 0.5, "window": 10_000}],
        "replay": {"mode": "open", "deadline": "2s"},
        "events": [
            {"at": "1s", "link": f"hop{len(tiers) - 1}", "down": True, "for": "2s"},
            {"at": "5500ms", "node": middle, "do": "pause", "for": "3s"},
            {"at": "11s", "node": middle, "do": "kill", "for": "1s"},
        ],
    }


def require_host() -> None:
    """See to it that networks can be made here.

    Raises:
        NotTestable: they cannot.
    """
    if os.geteuid() != 0:
        raise NotTestable("a network is made by root alone; run it as root")


def swept(wanted: Wanted, out: Path, reporter: Reporter) -> list[Run]:
    """The runs of a sweep, which goes on in ``out`` where it was interrupted.

    Raises:
        NotTestable: this host makes no networks.
        TestbedError: a point failed.
    """
    require_host()
    directory = sweep(wanted, out, reporter)
    if broken := failed(directory):
        raise TestbedError(f"{len(broken)} of {len(directory.points)} points failed, the first because: "
                           f"{directory.failure(broken[0])}")  # fmt: skip
    return runs_of(directory)


def runs_of(directory: SweepDirectory) -> list[Run]:
    """Its points, in their order."""
    return [Run(RunDirectory.open(directory.run_path(point))) for point in directory.points]


def doubts(runs: Sequence[Run]) -> str:
    """What speaks against figures of these runs, in a sentence; empty if nothing does."""
    against = []
    for run in runs:
        for claim in RESTS_ON:
            if not run.summary["faithful"][claim]:
                reasons = run.fidelity["reasons"][claim]
                against.append(f"{run.path.name}: {claim} may not be believed ({'; '.join(reasons)})")
    return "; ".join(against)


def formula_and_wire(runs: Sequence[Run]) -> Values:
    """Frames' bytes of RecServe over what the paper's formula counts, each byte once on a hop.

    With them the mean bytes of a request on all links, by the formula and by cause.
    """

    def factor(run: Run) -> float:
        return float(run.summary["methods"][METHOD]["frame_bytes"] / _formula_bytes(run, METHOD))

    def of_request(bytes_of: Callable[[Run], float]) -> Value:
        def mean(run: Run) -> float:
            return bytes_of(run) / int(run.summary["methods"][METHOD]["requests"])

        return _over_seeds(runs, mean, ",.1f", "B")

    causes = {
        part.replace("_", " "): of_request(partial(_cause_bytes, method=METHOD, part=part)) for part in PARTS
    }
    formula = of_request(lambda run: _formula_bytes(run, METHOD))
    return {"frames over formula": _over_seeds(runs, factor, ".2f"), "formula": formula, **causes}


def _formula_bytes(run: Run, method: str) -> float:
    """What the paper's formula counts of a method, each byte once on a hop: it has each at both ends."""
    return float(run.summary["methods"][method]["burden_paper_bytes"] / 2)


def _cause_bytes(run: Run, method: str, part: str) -> int:
    """What crossed all links of one cause, both ways."""
    return int(run.links.loc[run.links["method"] == method, f"{part}_bytes"].sum())


def savings(runs: Sequence[Run]) -> Values:
    """RecServe's bytes over cloud-only's, on the same hops: of texts, of frames, and how they differ."""

    def texts(run: Run) -> float:
        methods = run.summary["methods"]
        ours, cloud = (methods[name] for name in (METHOD, f"{run.scenario.tier_names[-1]}-only"))
        sums = [figures["prompt_bytes"] + figures["answer_bytes"] for figures in (ours, cloud)]
        return float(sums[0] / sums[1])

    def frames(run: Run) -> float:
        return float(run.summary["methods"][METHOD]["frame_bytes_vs_cloud_only"])

    return {
        "difference": _over_seeds(runs, lambda run: frames(run) - texts(run), "+.3f", OF_CLOUD),
        "of frames": _over_seeds(runs, frames, ".3f", OF_CLOUD),
        "of texts": _over_seeds(runs, texts, ".3f", OF_CLOUD),
    }


def _over_seeds(runs: Sequence[Run], of: Callable[[Run], float], form: str, unit: str = "") -> Value:
    return Value(mean_of_seeds([of(run) for run in runs]), form, unit)


def predicted(runs: Sequence[Run]) -> Values:
    """In how many counts of bytes, by run, method, hop and text, the what-if differs from the wire."""
    counts, differing, elsewhere, bytes_ = 0, 0, 0, 0
    for run in runs:
        found = what_if_scenario(run.scenario, Quiet(), against=RunDirectory.open(run.path))
        found.check()
        for ahead, measured in found.beside:
            elsewhere += measured["elsewhere"]
            for name in (
                f"{text}_bytes_{tier}" for text in ("prompt", "answer") for tier in found.tiers[:-1]
            ):
                counts += 1
                differing += ahead[name] != measured[name]
                bytes_ += measured[name] or 0
    return {
        "counts that differ": Value.counted(differing),
        "of so many counts": Value.counted(counts),
        "bytes in them": Value.counted(bytes_, ",.0f", "B"),
        "requests served elsewhere": Value.counted(elsewhere),
    }


def answered(runs: Sequence[Run]) -> Values:
    """How many requests had an answer while tiers could not be reached, and how they came to it."""
    figures = [run.summary["methods"]["recserve"] for run in runs]
    total, served = (sum(each[name] for each in figures) for name in ("requests", "answered"))
    return {
        "answered": Value(Estimate(served / total, share_interval(served, total)), ".4f", "of requests"),
        "past the tier": Value.counted(sum(each["skipped"] or 0 for each in figures), unit="requests"),
        "best so far": Value.counted(sum(each["degraded"] or 0 for each in figures), unit="requests"),
    }


def bytes_by_cause(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """By method and cause the mean bytes of a request over all links, and the formula's, once a hop."""
    rows: list[dict[str, Any]] = []
    if not runs:
        return rows
    for name in runs[0].summary["methods"]:
        requests = sum(run.summary["methods"][name]["requests"] for run in runs)
        formula = math.fsum(_formula_bytes(run, name) for run in runs)
        for part in PARTS:
            found = sum(_cause_bytes(run, name, part) for run in runs)
            rows.append({
                "method": name,
                "cause": part.replace("_", " "),
                "bytes_per_request": found / requests,
                "formula_bytes_per_request": formula / requests,
            })  # fmt: skip
    return rows
