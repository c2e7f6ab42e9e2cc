"""What frontiers need of a sweep's runs: each method's requests, beside cloud-only's of the same run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from testbed.results.columns import Row
from testbed.results.comparable import READ
from testbed.results.directory import RunDirectory
from testbed.results.fidelity import Claim
from testbed.results.scorers import SCORERS, Scorer
from testbed.study.frontiers import Setting

COLUMNS = ("request_id", "method", "outcome", "answer", "score", "reference", "hop_prompt_bytes")
CLAIMS: tuple[Claim, ...] = ("bytes", "quality")
"""What must hold of a run for it to be used."""

Unit = tuple[int, str]
"""A request: the seed of its trace, and its id there."""
Prompt = tuple[str, str, int, str]
"""What it asks: data set, split and row, and the reference."""


@dataclass(frozen=True)
class Reading:
    """A method of a run. By request: what is judged, and prompt bytes on all links, its own and cloud-only's.

    Bytes are 0 where the request was not answered under both.
    """

    setting: Setting
    seed: int
    requests: Mapping[Unit, tuple[Any, str, int, int]]


@dataclass(frozen=True)
class RunReadings:
    """All methods of a run, its tiers (lowest first), and what each of its requests asks."""

    readings: Sequence[Reading]
    tiers: Sequence[str]
    scorer: Scorer
    prompts: Mapping[Unit, Prompt]


def read_run(directory: RunDirectory) -> RunReadings | str:
    """A finished run, or why it cannot be used, in words.

    Raises:
        TestbedError: the directory lacks a file, or one is not as the run left it.
    """
    directory.require_unchanged(*READ)
    with directory.understood():
        faithful = directory.read_summary()["faithful"]
        if doubted := [claim for claim in CLAIMS if not faithful[claim]]:
            return f"the verdict on {' and on '.join(doubted)} is false"
        scenario = directory.read_scenario()
        by_method: dict[str, dict[str, Row]] = {method.name: {} for method in scenario.methods}
        rows = directory.read_table("requests.parquet", COLUMNS)
        for row in rows:
            by_method[row["method"]][row["request_id"]] = row
        policy = f"{scenario.tier_names[-1]}-only"
        cloud = next((by_method[one.name] for one in scenario.methods if one.policy == policy), {})
        if not any(sum(row["hop_prompt_bytes"]) for row in cloud.values()):
            return (
                f"no prompt crossed a link under {policy}, of whose bytes burdens are shares; add that method"
            )
        scorer, seed = SCORERS[scenario.task.kind], scenario.seed
        readings = [
            Reading(Setting.of(method), seed, dict(_requests(scorer, seed, by_method[method.name], cloud)))
            for method in scenario.methods
        ]
        asked = {entry.id: (entry.dataset, entry.split, entry.row) for entry in directory.read_trace(rows)}
        prompts = {(seed, name): (*asked[name], row["reference"]) for name, row in cloud.items()}
    return RunReadings(readings, scenario.tier_names, scorer, prompts)


def _requests(
    scorer: Scorer, seed: int, rows: Mapping[str, Row], cloud: Mapping[str, Row]
) -> Iterator[tuple[Unit, tuple[Any, str, int, int]]]:
    for name, row in rows.items():
        if (beside := cloud.get(name)) is not None:
            both = row["outcome"] == beside["outcome"] == "answered"
            sizes = [sum(each["hop_prompt_bytes"]) if both else 0 for each in (row, beside)]
            yield (seed, name), (scorer.judged(row), row["reference"], sizes[0], sizes[1])


def prompts_of(runs: Sequence[RunReadings]) -> dict[Unit, Prompt] | None:
    """What each request asks; ``None`` where runs differ over one of the same seed and id."""
    prompts: dict[Unit, Prompt] = {}
    for run in runs:
        if any(prompts.setdefault(unit, prompt) != prompt for unit, prompt in run.prompts.items()):
            return None
    return prompts
