"""What a recorded tier serves of an answer matrix: which of its models, and whether it fits the scenario."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from testbed.errors import TestbedError
from testbed.host.embedded.revision import embedded_revision
from testbed.scenario.matrix import Matrix, ModelAnswers, ModelRecord, matrix_at, prompt_key
from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.kind import today
from testbed.scenario.sections.models import EMBEDDED, RecordedEntry
from testbed.scenario.sections.task import Task
from testbed.scenario.sections.tiers import Tier
from testbed.scenario.workload.datasets import Example
from tiers.confidence import CONFIDENCES
from tiers.errors import ConfigError
from tiers.plugins import external

_SHOWN = 3


@dataclass(frozen=True)
class TierRows:
    """The rows of a matrix's model that a trace asks for.

    Attributes:
        field: the tier's model, in the words of an error.
        by_prompt: place in the matrix by the SHA-256 of the prompt.
    """

    field: str
    path: str
    name: str
    matrix: Matrix
    by_prompt: dict[bytes, int]

    @property
    def record(self) -> ModelRecord:
        return self.matrix.header.models[self.name]

    @property
    def answers(self) -> ModelAnswers:
        return self.matrix.models[self.name]

    @property
    def is_timed(self) -> bool:
        """Whether any inference was timed, so that :meth:`service_ms` has a time for each."""
        return any(time_ms is not None for time_ms in self.answers.service_ms)

    def lacking(self, asked: Iterable[Example]) -> list[Example]:
        """Those of the prompts that it has no answer to."""
        return [example for example in asked if prompt_key(example.text) not in self.by_prompt]

    def places(self, asked: Iterable[Example]) -> dict[bytes, int]:
        """By prompt, where the matrix has the answer, of those that it has."""
        keys = dict.fromkeys(prompt_key(example.text) for example in asked)
        return {key: self.by_prompt[key] for key in keys if key in self.by_prompt}

    def service_ms(self, places: Iterable[int]) -> list[float | None]:
        """How long each inference takes: as measured, or as that of the measured row nearest in length.

        Length is that of the answer in tokens, then that of the prompt in bytes. ``None`` where nothing was
        measured.
        """
        times = self.answers.service_ms
        timed = [at for at, time_ms in enumerate(times) if time_ms is not None]
        if not timed:
            return [None for _ in places]
        made = np.array([count or 0 for count in self.answers.completion_tokens])
        sizes = self.matrix.prompt_bytes
        found = []
        for at in places:
            if (own := times[at]) is None:
                order = np.lexsort((np.abs(sizes[timed] - sizes[at]), np.abs(made[timed] - made[at])))
                own = times[timed[order[0]]]
            found.append(own)
        return found


def tier_rows(scenario: Scenario, tier: Tier) -> TierRows | None:
    """What a tier serves of its matrix; ``None`` if its model is not recorded in one.

    Raises:
        TestbedError: the matrix cannot be read, has no such model, or is of another task, data set, cleaning
            or embedded model than the scenario's.
    """
    model = tier.model
    if not isinstance(model, RecordedEntry) or not model.is_matrix or model.path is None:
        return None
    field = f"tiers.{tier.name}.model"
    try:
        matrix = matrix_at(model.path)
    except TestbedError as error:
        raise TestbedError(f"{field}: {error}") from None
    name = _name(field, model, tier.name, list(matrix.header.models))
    by_prompt = {key: at for at, key in reversed(list(enumerate(matrix.prompt_sha256)))}
    rows = TierRows(field, model.path, name, matrix, by_prompt)
    for reason in _unfit(rows, scenario.task):
        raise TestbedError(f"{field}: {model.path} {reason}")
    return rows


def _name(field: str, model: RecordedEntry, tier: str, names: Sequence[str]) -> str:
    """Which of a matrix's models a tier is."""
    if model.model is not None:
        if model.model not in names:
            raise TestbedError(
                f"{field}.model: {model.path} has no model {model.model!r}; it has {', '.join(names)}"
            )
        return model.model
    if len(names) == 1:
        return names[0]
    for name in (tier, f"embedded/{tier}"):
        if name in names:
            return name
    raise TestbedError(
        f"{field}: {model.path} has the models {', '.join(names)}; say which is meant, as in "
        f"{{kind: recorded, path: …, model: {names[0]}}}"
    )


def _unfit(rows: TierRows, task: Task) -> Iterator[str]:
    """Why a matrix is not of this scenario's prompts or models."""
    header, record, dataset = rows.matrix.header, rows.record, task.data
    if today(header.task.kind) != today(task.kind):
        yield f"was recorded for {header.task.kind}, and the task is {task.kind}; record it for this task"
    if header.dataset.name != dataset.name:
        yield (
            f"has rows of the data set {header.dataset.name}, and the scenario asks {dataset.name}; "
            "record that data set"
        )
    if set(header.task.labels) != set(task.labels):
        yield (
            f"has answers among {', '.join(header.task.labels) or 'any'}, and the task's labels are "
            f"{', '.join(task.labels)}; record it again"
        )
    if header.cleaning != dataset.cleaning:
        yield (
            f"was recorded with the cleaning {header.cleaning!r}, and {dataset.name}'s prompts have "
            f"{dataset.cleaning!r}; record it again"
        )
    template = task.asked["template"]
    if record.template is not None and "template" not in record.options and record.template != template:
        yield (
            f"has answers of {rows.name} to the template {record.template[:60]!r}, and the task's is "
            f"{template[:60]!r}; record it again"
        )
    rung = record.model.removeprefix("embedded/")
    if record.kind == "embedded" and rung in EMBEDDED and record.revision != embedded_revision(rung):
        yield (
            f"has answers of {record.model} with the weights {(record.revision or 'of no name')[:19]}…, and "
            f"those here are {embedded_revision(rung)[:19]}…; record it again"
        )


def check_confidence(rows: TierRows, asked: Iterable[Example], name: str | None) -> None:
    """The tier's confidence can be computed from what the matrix has of each row that is asked.

    ``name`` is the scenario's, if it has one.

    Raises:
        TestbedError: it cannot, or the matrix alone names a class in a file: data do not say what is run.
    """
    recorded = rows.record.confidence
    if name is None and external(recorded):
        raise TestbedError(
            f"{rows.field}: {rows.path} was recorded with the confidence {recorded}, a class in a file; "
            "name that file beside the path, as confidence: FILE.py:CLASS"
        )
    name = name or recorded
    places = set(rows.places(asked).values())
    own = any(rows.answers.confidence[at] is not None for at in places)
    if own and CONFIDENCES.today(name) != CONFIDENCES.today(recorded):
        raise TestbedError(
            f"{rows.field}: {rows.path} has confidences of {rows.name} by {recorded} and nothing to compute "
            f"{name} from; leave confidence out"
        )
    try:
        rows.answers.confidences(name, places)
    except (ConfigError, ValueError) as error:
        raise TestbedError(
            f"{rows.field}: confidence {name} cannot be computed from what {rows.path} has of "
            f"{rows.name} ({error})"
        ) from None


def lack(rows: TierRows, lacking: Sequence[Example]) -> str:
    """Which rows of the data set a matrix lacks, and which of them it has with another prompt."""
    own = set(rows.matrix.rows.tolist())
    numbers = [example.row for example in lacking]
    shown = ", ".join(map(str, numbers[:_SHOWN])) + (", …" if len(numbers) > _SHOWN else "")
    other = sum(number in own for number in numbers)
    if not other:
        return f"rows {shown}"
    return f"rows {shown}; {other} of them it has with another prompt, of another version of the data set"


def notes(rows: TierRows, asked: Sequence[Example], *, own_times: bool) -> Iterator[str]:
    """What to tell of a matrix that fits: where times come from, and what its batches changed."""
    field, record = rows.field, rows.record
    places = list(rows.places(asked).values())
    timed = sum(rows.answers.service_ms[at] is not None for at in places)
    if own_times and timed < len(places):
        yield (
            f"{field}: service times of {timed} of these were measured; the others' are those of the "
            "measured row nearest in length"
        )
    if flips := record.flips:
        yield (
            f"{field}: recorded in batches of {record.batch}, which changed {flips.answers} of "
            f"{flips.samples} answers that were compared, and confidences by {flips.confidence:.2g} at most"
        )
