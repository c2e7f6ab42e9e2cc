"""What ``summary.json`` must be like; ``docs/RESULTS.md`` says what its figures mean."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from testbed.results.shape import MOST, ByClaim, Count, Ends, Number, Shape
from testbed.scenario.reading.mistakes import mistake


class _Latencies(Shape):
    p50: Number | None
    p95: Number | None
    p99: Number | None


class _LatencyEnds(Shape):
    p50: Ends
    p95: Ends
    p99: Ends


class _Spent(Shape):
    lateness: Number
    queue: Number
    inference: Number
    own: Number
    hop_up: Number
    hop_down: Number
    unexplained: Number


class _Difference(Shape):
    difference: Number
    ci: Ends
    p_value: Number | None = None


class _LatencyDifference(Shape):
    difference_ms: Number
    ci_ms: Ends
    requests: Count


class _Offload(Shape):
    decisions: Count
    offloaded: Count
    share: Number | None
    share_asked: Number | None
    share_expected: Number | None
    share_untied: Number | None
    distinct_confidences: Count
    tied_at_threshold: Number | None
    largest_tie: Number | None


class _Hop(Shape):
    share_asymptotic: Number | None
    share_expected: Number | None
    share: Number
    prompt_bytes_asymptotic: Number | None
    prompt_bytes_expected: Number | None
    prompt_bytes: Count
    length_ratio: Number | None
    length_ratio_ci: Ends


class _Confidences(Shape):
    inferences: Count
    inference_ms: Number | None
    length_correlation: Number | None
    length_correlation_ci: Ends
    calibration_error: Number | None
    calibration_error_by_chance: Number | None


class _Compute(Shape):
    inferences_asymptotic: Number | None
    inference_ms_asymptotic: Number | None
    inferences_expected: Number | None
    inference_ms_expected: Number | None
    inferences: Number
    inference_ms: Number | None
    inference_ms_of_top: Number | None


class _Recursion(Shape):
    burden_asymptotic: Number | None
    burden_expected: Number | None
    burden_with_lengths: Number | None
    burden: Number | None
    pays_below: Number
    pays_below_with_lengths: Number | None


class _Theory(Shape):
    hops: dict[str, _Hop]
    tiers: dict[str, _Confidences]
    compute: _Compute | None
    recursion: _Recursion | None

    @model_validator(mode="after")
    def _are_there_together(self) -> _Theory:
        if self.recursion is not None and self.compute is None:
            raise mistake("has recursion and no compute")
        return self


class _Figures(Shape):
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
    quality_vs_cloud_only: _Difference | None = None
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
    theory: _Theory | None = None
    cost_unit: str | None = None
    cost: Number | None = None
    cost_by_tier: dict[str, Number | None] = Field(default_factory=dict)
    cost_per_request: Number | None = None
    cost_per_request_ci: Ends = None
    cost_reason: str | None = None

    @model_validator(mode="after")
    def _has_no_null_for_what_may_be_absent(self) -> _Figures:
        for name in ("theory", "cost_unit"):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise mistake("is null", name)
        return self


class Summary(Shape):
    methods: dict[str, _Figures]
    faithful: ByClaim
