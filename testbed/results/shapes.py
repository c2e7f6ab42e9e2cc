"""What the JSON files of a run directory must be like, so that whoever reads one can rely on it.

Each is held against its shape once, where it is read; tables are in :mod:`testbed.results.table_shapes`.
Whether a figure is right is not asked here: :mod:`testbed.results.anew` computes it again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from testbed.results.scorers import SCORERS
from testbed.results.shape import ByClaim, Count, Number, Shape
from testbed.results.summary_shape import Summary
from testbed.scenario.reading.mistakes import explain, mistake
from testbed.scenario.scenario import Scenario


class _Reasons(Shape):
    bytes: list[str]
    decisions: list[str]
    quality: list[str]
    latency: list[str]


class _Source(Shape):
    file: str | None = None
    package: str | None = None
    sha256: str | None = None
    revision: str | None = None

    @model_validator(mode="after")
    def _has_a_sum(self) -> _Source:
        if self.file is not None and self.package is None and self.sha256 is None:
            raise mistake("has a file and no sha256 of it")
        return self


class _Dataset(Shape):
    name: str
    source: _Source


class _Host(Shape):
    commit: str | None = None


class _File(Shape):
    field: str
    path: str
    sha256: str
    revision: str | None = None


class _BrokenOff(Shape):
    method: str
    begun: Count
    requests: Count
    lost: list[str]


class _Manifest(Shape):
    status: str
    run_id: str
    started_at: str
    scenario: dict[str, Any]
    host: _Host | None = None
    notes: list[str] = Field(default_factory=list)
    datasets: list[_Dataset] = Field(default_factory=list)
    files: list[_File] = Field(default_factory=list)
    ended_by: str | None = None
    broken_off: list[_BrokenOff] = Field(default_factory=list)
    started_ns: dict[str, int] = Field(default_factory=dict)
    phases_s: dict[str, Number] = Field(default_factory=dict)
    clock_offsets_ns: dict[str, Annotated[list[int], Field(min_length=2, max_length=2)]] = Field(
        default_factory=dict
    )


class _Fidelity(Shape):
    faithful: ByClaim
    reasons: _Reasons
    notes: list[str] = Field(default_factory=list)
    limits: dict[str, Number] = Field(default_factory=dict)


class _Answer(Shape):
    answer: str
    confidence: Number


class _Calibrated(Shape):
    answers: list[_Answer]


class _Calibration(Shape):
    rows: Annotated[list[Any], Field(min_length=1)]
    references: list[str]
    tiers: dict[str, _Calibrated]

    @model_validator(mode="after")
    def _is_of_one_length(self) -> _Calibration:
        lengths = {len(self.rows), len(self.references), *(len(tier.answers) for tier in self.tiers.values())}
        if len(lengths) > 1:
            raise mistake("has not one reference and one answer of each tier for each row")
        return self


class _Asked(Shape):
    id: str
    at_s: Number
    device: str
    dataset: str
    split: str
    row: Count


TRACE = "trace.jsonl"
_JSON: dict[str, TypeAdapter[Any]] = {
    "manifest.json": TypeAdapter(_Manifest),
    "summary.json": TypeAdapter(Summary),
    "fidelity.json": TypeAdapter(_Fidelity),
    "calibration.json": TypeAdapter(_Calibration),
    "answers.json": TypeAdapter(dict[str, dict[str, str]]),
    TRACE: TypeAdapter(_Asked),
}
"""By file; of the trace, a line."""


def parsed(content: bytes) -> Any:
    """JSON whose numbers and texts are some.

    Raises:
        ValueError: it is none, or has NaN, or a text that is no Unicode.
    """
    text = content.decode()
    parsed = json.loads(text, parse_constant=_no_number)
    if "\\ud" in text or "\\uD" in text:  # halves of a surrogate pair may stand alone
        json.dumps(parsed, ensure_ascii=False).encode()
    return parsed


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")


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
