"""Recorded models' files, held against the trace before anything starts: is every prompt's answer there?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

from testbed.errors import TestbedError
from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.models import RecordedEntry
from testbed.scenario.workload.datasets import Example
from tiers.errors import ConfigError
from tiers.models.recorded import Recordings, read_recordings


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
        if name := model.confidence:
            notes.append(f"{field}: confidence {name} changes nothing: recorded answers have their own")
        if model.path is not None:
            try:
                recordings = read(model.path)
            except ConfigError as error:
                raise TestbedError(f"{field}: {error}") from None
            notes += _covered(field, model, recordings, prompts, whose)
    return notes


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
    if recordings.unlike_times:
        yield (
            f"{field}: {model.path} has several lines with other service times for {recordings.unlike_times} "
            "prompts; the first line's stands"
        )
