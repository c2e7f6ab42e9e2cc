"""A study of a scenario whose tiers are recorded: what a run of it would do."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from testbed.errors import TestbedError
from testbed.scenario.calibration import calibration_rows, tiers_to_ask
from testbed.scenario.matrix import prompt_key
from testbed.scenario.recorded_rows import tier_rows
from testbed.scenario.recordings import check_recordings
from testbed.scenario.requests import examples_for, requests_of
from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.models import RecordedEntry
from testbed.scenario.sections.tiers import Tier
from testbed.scenario.workload.compact import CompactTrace
from testbed.study.what_if.matrices import tier_answers
from testbed.study.what_if.study import Floats, Split, Study, TierAnswers
from tiers.models.recorded import drawn_ms, read_recordings


def study_of_scenario(scenario: Scenario) -> Study:
    """The scenario's own trace, and what its tiers' files say to it; checked as before a run.

    Raises:
        TestbedError: a tier has answers of no file, or its file does not fit the trace.
    """
    for tier in scenario.tiers:
        _require_recorded(tier)
    trace = CompactTrace.of(requests_of(scenario))
    asked = examples_for(trace, scenario.task.datasets)
    rows = calibration_rows(scenario, trace)
    notes = check_recordings(scenario, asked)
    calibrating = [example for _, example in rows]
    if rows:
        notes += check_recordings(scenario, calibrating, "calibration", tiers_to_ask(scenario))
    if scenario.replay.mode != "lockstep":
        notes.append(
            f"replay.mode is {scenario.replay.mode}: where requests overlap, confidences may enter windows "
            "in another order than here, where they come one after the other"
        )
    if scenario.events:
        notes.append(f"events: the {len(scenario.events)} events are left out; a prediction knows of none")
    places: dict[tuple[str, str], int] = {}  # a user's rows may have one text with several references
    for example in chain(asked, calibrating):
        places.setdefault((example.text, example.reference), len(places))
    texts = [text for text, _ in places]
    return Study(
        scenario,
        trace,
        np.fromiter((places[one.text, one.reference] for one in asked), np.int64, len(asked)),
        np.array([len(text.encode()) for text in texts], dtype=np.int64),
        [reference for _, reference in places],
        {tier.name: _answers(tier, scenario, texts) for tier in scenario.tiers},
        texts,
        Split(rows, [places[example.text, example.reference] for example in calibrating]) if rows else None,
        notes,
    )


def _require_recorded(tier: Tier) -> None:
    model = tier.model
    if not isinstance(model, RecordedEntry):
        raise TestbedError(
            f"tiers.{tier.name}.model: its answers are not recorded; record them (testbed models record) and "
            "write model: recorded/FILE, or run the scenario"
        )
    if model.makes_up:
        raise TestbedError(
            f"tiers.{tier.name}.model: made-up answers predict nothing; name a file that has them all"
        )


def _answers(tier: Tier, scenario: Scenario, texts: Sequence[str]) -> TierAnswers:
    """What the tier's file says to each text."""
    model = tier.model
    assert isinstance(model, RecordedEntry)
    assert model.path is not None
    if (rows := tier_rows(scenario, tier)) is not None:
        every = tier_answers(Path(rows.path), rows.matrix, rows.name, model.confidence)
        places = [rows.by_prompt[prompt_key(text)] for text in texts]
        answers = [every.answers[place] for place in places]

        def recorded_ms() -> list[float | None]:
            return [None] * len(places) if model.service_ms is not None else rows.service_ms(places)

        return TierAnswers(
            answers,
            lambda name: every.confidences(name)[places],
            lambda: _service_ms(tier.name, model, texts, recorded_ms()),
        )
    found = read_recordings(Path(model.path), scenario.task.labels)
    said = [recording for text in texts if (recording := found.of(text)) is not None]
    confidences = np.array([recording.confidence for recording in said], dtype=np.float64)

    def own(name: str | None) -> Floats:
        if name is not None:
            raise TestbedError(f"tiers.{tier.name}.model: {model.path} has confidences of its own alone")
        return confidences

    times_ms = [recording.service_ms for recording in said]
    return TierAnswers(
        [recording.answer for recording in said], own, lambda: _service_ms(tier.name, model, texts, times_ms)
    )


def _service_ms(
    tier: str, model: RecordedEntry, texts: Sequence[str], times_ms: Sequence[float | None]
) -> Floats:
    """How long each inference takes: as recorded, or else as the scenario says."""
    mean_ms = model.service_ms or 0.0
    found = [
        drawn_ms(mean_ms, model.distribution, tier, text) if time_ms is None else time_ms
        for text, time_ms in zip(texts, times_ms, strict=True)
    ]
    return np.array(found, dtype=np.float64)
