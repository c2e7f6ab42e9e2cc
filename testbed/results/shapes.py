"""What the JSON files of a run directory must be like, so that whoever reads one can rely on it.

Each is held against its shape once, where it is read; tables are in :mod:`testbed.results.table_shapes`.
Whether a figure is right is not asked here: :mod:`testbed.results.anew` computes it again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from testbed.results.columns import MOST, MOST_REAL
from testbed.results.scorers import SCORERS
from testbed.scenario.reading.mistakes import explain, mistake
from testbed.scenario.scenario import Scenario

Count = Annotated[int, Field(ge=0, le=MOST)]
Number = Annotated[float, Field(ge=-MOST_REAL, le=MOST_REAL)]
Ends = Annotated[list[Number | None], Field(min_length=2, max_length=2)] | None
"""Of an interval: one at infinity is null."""


class _Shape(BaseModel):
    """A JSON object. A field with a default may be absent, as in older runs; further ones are let be."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _ByClaim(_Shape):
    bytes: bool | None
    decisions: bool | None
    quality: bool | None
    latency: bool | None


class _Reasons(_Shape):
    bytes: list[str]
    decisions: list[str]
    quality: list[str]
    latency: list[str]


class _Source(_Shape):
    file: str | None = None
    package: str | None = None
    sha256: str | None = None

    @model_validator(mode="after")
    def _has_a_sum(self) -> _Source:
        if self.file is not None and self.package is None and self.sha256 is None:
            raise mistake("has a file and no sha256 of it")
        return self


class _Dataset(_Shape):
    name: str
    source: _Source


class _Host(_Shape):
    commit: str | None = None


class _Manifest(_Shape):
    status: str
    run_id: str
    started_at: str
    scenario: dict[str, Any]
    host: _Host | None = None
    notes: list[str] = []
    datasets: list[_Dataset] = []
    started_ns: dict[str, int] = {}
    clock_offsets_ns: dict[str, Annotated[list[int], Field(min_length=2, max_length=2)]] = {}


class _Fidelity(_Shape):
    faithful: _ByClaim
    reasons: _Reasons
    notes: list[str] = []
    limits: dict[str, Number] = {}


class _Latencies(_Shape):
    p50: Number | None
    p95: Number | None
    p99: Number | None


class _LatencyEnds(_Shape):
    p50: Ends
    p95: Ends
    p99: Ends


class _Spent(_Shape):
    lateness: Number
    queue: Number
    inference: Number
    own: Number
    hop_up: Number
    hop_down: Number
    unexplained: Number


class _Difference(_Shape):
    difference: Number
    ci: Ends
    p_value: Number | None = None


class _LatencyDifference(_Shape):
    difference_ms: Number
    ci_ms: Ends
    requests: Count


class _Offload(_Shape):
    decisions: Count
    offloaded: Count
    share: Number | None
    share_asked: Number | None
    share_expected: Number | None
    share_untied: Number | None
    distinct_confidences: Count
    tied_at_threshold: Number | None
    largest_tie: Number | None


class _Hop(_Shape):
    share_asymptotic: Number | None
    share_expected: Number | None
    share: Number
    prompt_bytes_asymptotic: Number | None
    prompt_bytes_expected: Number | None
    prompt_bytes: Count
    length_ratio: Number | None
    length_ratio_ci: Ends


class _Confidences(_Shape):
    inferences: Count
    inference_ms: Number | None
    length_correlation: Number | None
    length_correlation_ci: Ends
    calibration_error: Number | None
    calibration_error_by_chance: Number | None


class _Compute(_Shape):
    inferences_asymptotic: Number | None
    inference_ms_asymptotic: Number | None
    inferences_expected: Number | None
    inference_ms_expected: Number | None
    inferences: Number
    inference_ms: Number | None
    inference_ms_of_top: Number | None


class _Recursion(_Shape):
    burden_asymptotic: Number | None
    burden_expected: Number | None
    burden_with_lengths: Number | None
    burden: Number | None
    pays_below: Number
    pays_below_with_lengths: Number | None


class _Theory(_Shape):
    hops: dict[str, _Hop]
    tiers: dict[str, _Confidences]
    compute: _Compute | None
    recursion: _Recursion | None

    @model_validator(mode="after")
    def _are_there_together(self) -> _Theory:
        if self.recursion is not None and self.compute is None:
            raise mistake("has recursion and no compute")
        return self


class _Figures(_Shape):
    requests: Annotated[int, Field(ge=1, le=MOST)]
    answered: Count
    errors: dict[str, Count]
    degraded: Count | None = None
    skipped: Count | None = None
    accuracy: Number | None = None
    accuracy_ci: Ends = None
    accuracy_answered: Number | None = None
    accuracy_vs_cloud_only: _Difference | None = None
    macro_f1: Number | None = None
    macro_f1_ci: Ends = None
    exact_match: Number | None = None
    exact_match_ci: Ends = None
    exact_match_vs_cloud_only: _Difference | None = None
    score: Number | None = None
    score_ci: Ends = None
    score_vs_cloud_only: _Difference | None = None
    bleu: Number | None = None
    bleu_ci: Ends = None
    bleu_vs_cloud_only: _Difference | None = None
    chrf: Number | None = None
    chrf_ci: Ends = None
    quality: Number | None = None
    quality_ci: Ends = None
    latency_ms: _Latencies
    latency_ms_ci: _LatencyEnds
    latency_vs_cloud_only: _LatencyDifference | None
    spent_ms: _Spent | None
    spent_requests: Count
    served_by: dict[str, Count]
    frame_bytes: Count
    prompt_bytes: Count
    answer_bytes: Count
    unaccounted_bytes: Count
    burden_vs_cloud_only: Number | None
    burden_vs_direct_cloud: Number | None
    frame_bytes_vs_cloud_only: Number | None
    burden_paper_bytes: Number | None = None
    burden_paper_vs_cloud_only: Number | None = None
    vs_cloud_only_reason: str | None = None
    offload: dict[str, _Offload] | None = None
    made_up_inferences: dict[str, Count] | None = None
    made_up_answers: dict[str, Count] | None = None
    theory: _Theory = Field(default=None)
    cost_unit: str = Field(default=None)
    cost: Number | None = None
    cost_by_tier: dict[str, Number | None] = {}
    cost_per_request: Number | None = None
    cost_per_request_ci: Ends = None
    cost_reason: str | None = None


class _Summary(_Shape):
    methods: dict[str, _Figures]
    faithful: _ByClaim


class _Answer(_Shape):
    answer: str
    confidence: Number


class _Calibrated(_Shape):
    answers: list[_Answer]


class _Calibration(_Shape):
    rows: Annotated[list[Any], Field(min_length=1)]
    references: list[str]
    tiers: dict[str, _Calibrated]

    @model_validator(mode="after")
    def _is_of_one_length(self) -> _Calibration:
        lengths = {len(self.rows), len(self.references), *(len(tier.answers) for tier in self.tiers.values())}
        if len(lengths) > 1:
            raise mistake("has not one reference and one answer of each tier for each row")
        return self


class _Asked(_Shape):
    id: str
    at_s: Number
    device: str
    dataset: str
    split: str
    row: Count


TRACE = "trace.jsonl"
_JSON: dict[str, TypeAdapter[Any]] = {
    "manifest.json": TypeAdapter(_Manifest),
    "summary.json": TypeAdapter(_Summary),
    "fidelity.json": TypeAdapter(_Fidelity),
    "calibration.json": TypeAdapter(_Calibration),
    "answers.json": TypeAdapter(dict[str, dict[str, str]]),
    TRACE: TypeAdapter(_Asked),
}
"""By file; of the trace, a line."""


def told(error: ValidationError, content: Any) -> str:
    """The field and the first mistake of what a file holds; how to write it right is left out."""
    field, sentence = explain(error, content)
    what = re.sub(r" or instance of \w+", "", sentence.partition(";")[0])
    return f"{field} {what}" if field else what


def wrong_json(name: str, content: Any) -> str | None:
    """What of a file's JSON is not as it must be, in a sentence; ``None`` if nothing is."""
    try:
        _JSON[name].validate_python(content, strict=True)
    except ValidationError as error:
        return told(error, content)
    return None


def scenario_of(manifest: Mapping[str, Any]) -> Scenario | str:
    """The scenario of a manifest; or what is wrong with it, in a sentence."""
    try:
        return Scenario.model_validate(manifest["scenario"])
    except ValidationError as error:
        return f"scenario: {told(error, manifest['scenario'])}"


def wrong_summary(summary: Mapping[str, Any], scenario: Scenario) -> str | None:
    """What of a summary, whose shape is right, is not of the scenario that was run."""
    scorer, tiers = SCORERS[scenario.task.kind], sorted(scenario.tier_names)
    known = {method.name for method in scenario.methods}
    for name, figures in summary["methods"].items():
        if name not in known:
            return f"methods.{name} is none of the scenario's methods"
        needed = [scorer.key, scorer.interval_key, scorer.difference_key]
        by_tier = {"served_by": figures["served_by"]}
        if "theory" in figures:
            by_tier["theory.tiers"] = figures["theory"]["tiers"]
        if "cost_unit" in figures:
            needed += ["cost", "cost_per_request", "cost_per_request_ci", "cost_reason"]
            by_tier["cost_by_tier"] = figures.get("cost_by_tier", {})
        for key in needed:
            if key not in figures:
                return f"methods.{name}.{key} is missing"
        for key, of in by_tier.items():
            if sorted(of) != tiers:
                return f"methods.{name}.{key} is not of the tiers {', '.join(scenario.tier_names)}"
    return None
