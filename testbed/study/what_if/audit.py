"""Holds a point's decisions against the rules that the audit of a run has, which are written apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from testbed.results.audit import audit
from testbed.study.what_if.calibrate import calibration, knows_answers
from testbed.study.what_if.replay import Made, replay
from testbed.study.what_if.study import Ints, Point, Study
from tiers.plugins import external


@dataclass(frozen=True)
class PointAudit:
    """What an audit of one point found. ``ruled``: whether its policy has a rule to be audited by."""

    decisions: int
    differences: tuple[str, ...]
    ruled: bool = True


def audit_point(study: Study, point: Point, levels: Ints) -> PointAudit:
    """Replay a point once more, recording what each node decides, and apply the rules to these records.

    ``levels`` are those that the point's figures rest on: they must be the same.
    """
    if external(point.method.policy):
        return PointAudit(0, (), ruled=False)
    again, rows = recorded_rows(study, point)
    scenario = study.scenario.model_copy(update={"methods": (point.method,), "events": ()})
    answers = study.known_answers if knows_answers(point) else None
    audited = audit(scenario, rows, calibration(study, point), answers)
    differences = [f"point {point.number}: {difference}" for difference in audited.differences]
    if (again != levels).any():
        differences.append(
            f"point {point.number}: {int((again != levels).sum())} requests are answered elsewhere when "
            "it is replayed again"
        )
    return PointAudit(audited.decisions, tuple(differences))


def recorded_rows(study: Study, point: Point) -> tuple[Ints, list[dict[str, Any]]]:
    """What :func:`~testbed.study.what_if.replay.replay` gives, and what a run of it would have recorded.

    The rows have the columns of ``requests.parquet`` that :mod:`testbed.results.audit` looks at.
    """
    made: dict[tuple[int, str], Made] = {}

    def keep(decision: Made) -> None:
        made[decision.request, decision.node] = decision

    levels = replay(study, point, keep)
    ways = {device: study.topology.way_up(device) for device in dict.fromkeys(study.devices)}
    top = len(study.tiers) - 1
    top_confidences = study.request_confidences(point)[list(study.tiers)[-1]]
    rows = []
    for at, level in enumerate(levels.tolist()):
        path = ways[study.devices[at]][: level + 1]
        row = _row(study, point, at, path, [made.get((at, node)) for node in path])
        if level == top:  # it is not asked to decide, infers all the same and keeps
            row["confidences"][top], row["kept"][top] = top_confidences[at], True
            row["node_answers"][top] = row["answer"]
        rows.append(row)
    return levels, rows


def _row(
    study: Study, point: Point, at: int, path: Sequence[str], steps: Sequence[Made | None]
) -> dict[str, Any]:
    place = int(study.places[at])
    answers = [tier.answers[place] for tier in study.tiers.values()][: len(path)]
    decisions = [made and made.decision for made in steps]
    return {
        "request_id": study.trace[at].id,
        "method": point.method.name,
        "device": path[0],
        "sent_at_s": float(at),
        "tier": list(study.tiers)[len(path) - 1],
        "path": list(path),
        "confidences": [made and made.confidence for made in steps],
        "thresholds": [decision and decision.threshold for decision in decisions],
        "window_seqs": [decision and decision.window_seq for decision in decisions],
        "window_lengths": [decision and decision.window_length for decision in decisions],
        "kept": [bool(decision and decision.keep) for decision in decisions],
        "node_answers": [answer if made else None for answer, made in zip(answers, steps, strict=True)],
        "forward_errors": [None] * len(path),
        "answer": answers[-1],
        "reference": study.references[place],
        "outcome": "answered",
        "prompt_bytes": int(study.request_bytes[at]),
    }
