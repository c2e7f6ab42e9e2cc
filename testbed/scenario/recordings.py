"""Recorded models' files, held against the trace before anything starts: is every prompt's answer there?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from testbed.errors import TestbedError
from testbed.scenario.matrix import prompt_key
from testbed.scenario.recorded_rows import TierRows, check_confidence, lack, tier_rows
from testbed.scenario.recorded_rows import notes as matrix_notes
from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.models import RecordedEntry
from testbed.scenario.sections.tiers import Tier
from testbed.scenario.workload.datasets import Example
from tiers.errors import ConfigError
from tiers.models.recorded import Recordings, read_recordings
from tiers.prompts import clean


def check_recordings(
    scenario: Scenario, asked: Iterable[Example], whose: str = "trace", tiers: Sequence[str] | None = None
) -> list[str]:
    """Tell, of each tier with a file of recordings, how many of the trace's prompts it lacks.

    Args:
        asked: the prompts of the trace, or of what ``whose`` says.
        tiers: the tiers that are to answer them; all, if not given.

    Returns:
        Sentences for the user.

    Raises:
        TestbedError: a file cannot be read or is not as it must be; it lacks prompts, and the tier does not
            say ``missing: made-up``; or it lacks service times, and the tier has none.
    """
    prompts = {example.text: example for example in asked}
    read = cache(lambda path: read_recordings(Path(path), scenario.task.labels))
    notes: list[str] = []
    for tier in scenario.tiers:
        if not isinstance(model := tier.model, RecordedEntry) or tier.name not in (tiers or [tier.name]):
            continue
        field = f"tiers.{tier.name}.model"
        if (rows := tier_rows(scenario, tier)) is not None:
            notes += _covered_by_matrix(rows, model, list(prompts.values()), whose)
            continue
        if name := model.confidence:
            notes.append(f"{field}: confidence {name} changes nothing: recorded answers have their own")
        if model.path is not None:
            try:
                recordings = read(model.path)
            except ConfigError as error:
                raise TestbedError(f"{field}: {error}") from None
            notes += _covered(field, model, recordings, prompts, whose)
    return notes


def answers_of(scenario: Scenario, tier: Tier, examples: Mapping[str, Example]) -> dict[str, str]:
    """What a recorded tier will answer, by request id.

    Args:
        examples: the prompts, by request id.

    Raises:
        TestbedError: the tier is not recorded, or makes up answers; the sentence is about the tier alone.
    """
    model, field = tier.model, f"tiers.{tier.name}.model"
    if not isinstance(model, RecordedEntry) or model.path is None:
        raise TestbedError(f"{field} has no recordings; use recorded tiers, or leave the method out")
    said = _said(scenario, tier, model.path)
    found = {name: said(example.text) for name, example in examples.items()}
    if lacking := sum(answer is None for answer in found.values()):
        raise TestbedError(
            f"{field} makes up the answers to {lacking} of the trace's {len(found)} requests; record them"
        )
    return {name: answer for name, answer in found.items() if answer is not None}


def _said(scenario: Scenario, tier: Tier, path: str) -> Callable[[str], str | None]:
    """What a tier's file answers to a prompt; ``None`` to one that it lacks."""
    if (rows := tier_rows(scenario, tier)) is not None:
        places, answers = rows.by_prompt, rows.answers.answers
        return lambda text: None if (at := places.get(prompt_key(text))) is None else answers[at]
    try:
        recordings = read_recordings(Path(path), scenario.task.labels)
    except ConfigError as error:
        raise TestbedError(f"tiers.{tier.name}.model: {error}") from None
    return lambda text: None if (found := recordings.of(text)) is None else found.answer


def _covered_by_matrix(
    rows: TierRows, model: RecordedEntry, asked: Sequence[Example], whose: str
) -> Iterator[str]:
    """What to tell of one tier's answer matrix."""
    lacking = rows.lacking(asked)
    what = f"{rows.path} has no answer of {rows.name} to {len(lacking)} of the {whose}'s {len(asked)} prompts"
    if lacking and model.missing is None:
        raise TestbedError(
            f"{rows.field}: {what} ({lack(rows, lacking)}); record them, or write missing: made-up and a "
            "service time beside the path to have their answers made up"
        )
    check_confidence(rows, asked, model.confidence)
    if model.service_ms is None and (rows.record.service_ms is None or not rows.is_timed):
        raise TestbedError(
            f"{rows.field}: {rows.path} has no service times of {rows.name}; write one beside the path, "
            "such as service: 5ms, or record it with --timed"
        )
    if lacking:
        yield f"{rows.field}: {what}; answers to those are made up"
    else:
        whole = f"all of the {whose}'s {len(asked)} prompts"
        yield f"{rows.field}: {rows.path} has {rows.name}'s answers to {whole}"
    yield from matrix_notes(rows, asked, own_times=model.service_ms is None)


def tiers_made_up(scenario: Scenario) -> list[str]:
    """The tiers whose answers are all made up: their recorded models have no file."""
    return [
        tier.name
        for tier in scenario.tiers
        if isinstance(tier.model, RecordedEntry) and tier.model.path is None
    ]


def _covered(
    field: str, model: RecordedEntry, recordings: Recordings, prompts: dict[str, Example], whose: str
) -> Iterator[str]:
    """What to tell of one tier's file."""
    found = {text: recordings.of(text) for text in prompts}
    lacking = [text for text, recording in found.items() if recording is None]
    timeless = sum(recording is not None and recording.service_ms is None for recording in found.values())
    if timeless and model.service_ms is None:
        raise TestbedError(
            f"{field}: {model.path} has no service_ms for {timeless} of the {whose}'s prompts; "
            "write it into their lines, or a service time beside the path"
        )
    what = f"{model.path} has no recording of {len(lacking)} of the {whose}'s {len(prompts)} prompts"
    if lacking and model.missing is None:
        raise TestbedError(
            f"{field}: {what} (one begins {lacking[0][:40]!r}); record them, "
            "or write missing: made-up and a service time beside the path to have their answers made up"
        )
    if lacking:
        yield f"{field}: {what}; answers to those are made up"
    else:
        yield f"{field}: {model.path} has recordings of all of the {whose}'s {len(prompts)} prompts"
    if alike := len(prompts) - len({clean(text) for text in prompts}):
        yield (
            f"{field}: {alike} of the {whose}'s prompts differ from another by signs alone, which "
            f"{model.path} does not tell apart: they get one answer; an answer matrix has one for each"
        )
    if recordings.unlike_times:
        yield (
            f"{field}: {model.path} has several lines with other service times for {recordings.unlike_times} "
            "prompts; the first line's stands"
        )
