"""What `testbed models record` is asked for: models by name, and rows of a data set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from testbed.errors import TestbedError
from testbed.host.processes.reporting import Report
from testbed.scenario.reading.mistakes import explain, nearest
from testbed.scenario.requests import row_order
from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.models import AnyModel
from testbed.scenario.sections.section import FileContext
from testbed.scenario.sections.task import Task
from testbed.scenario.sections.tier_model import TierModel
from testbed.scenario.workload.datasets import DATASETS, load
from testbed.study.models import HostModel, host_model
from testbed.study.record import Effort, Rows

DEFAULT_SEED = 1
"""Of the order of rows, where no scenario has one."""


def models_of(scenario: Scenario, effort: Effort, report: Report) -> list[HostModel]:
    """The models of a scenario's tiers, lowest first, each by its tier's name.

    Raises:
        TestbedError: one cannot be had, or is recorded already.
    """
    return [
        host_model(tier.name, tier.model, scenario.task, effort.device, max(1, math.floor(tier.cpus)), report)
        for tier in scenario.tiers
    ]


def models_named(
    words: Sequence[str], task: Task, engine: str | None, effort: Effort, report: Report
) -> list[HostModel]:
    """Models by ``NAME=MODEL`` or ``MODEL``, which is then the name too.

    Args:
        engine: the URL of an engine that speaks OpenAI's API and serves them; without it, a ``MODEL`` is as a
            scenario has it.

    Raises:
        TestbedError: there is no such model, or a name is there twice.
    """
    found: list[HostModel] = []
    for word in words:
        name, equals, model = word.partition("=")
        name, model = (name.strip(), model.strip()) if equals else (word.strip(), word.strip())
        if not name or not model:
            raise TestbedError(f"--model: {word!r} lacks a name or a model; write NAME=MODEL")
        if name in [other.name for other in found]:
            raise TestbedError(f"--model: {name} is there twice; write NAME=MODEL, with names of your choice")
        written = model if engine is None else {"kind": "openai", "url": engine, "model": model}
        section = _section(written, f"--model {word}" if engine is None else f"--openai {engine}")
        found.append(host_model(name, section, task, effort.device, 1, report))
    return found


def _section(written: object, option: str) -> TierModel:
    try:
        section: TierModel = TypeAdapter(AnyModel).validate_python(written, context=FileContext(Path.cwd()))
    except ValidationError as error:
        field, sentence = explain(error, {}, {})
        raise TestbedError(f"{option}: {f'{field}: ' if field else ''}{sentence}") from None
    return section


def task_of(dataset: str) -> Task:
    """The task of a data set.

    Raises:
        TestbedError: there is no such data set.
    """
    if dataset not in DATASETS:
        raise TestbedError(f"--dataset: no data set {dataset!r}; {nearest(dataset, DATASETS)}")
    return Task(kind=DATASETS[dataset].kind, dataset=dataset)


def rows_of(task: Task, split: str, limit: int | None, seed: int = DEFAULT_SEED) -> Rows:
    """The rows to ask: all of a split, or those that a trace of ``limit`` requests and that seed has.

    Raises:
        TestbedError: there is no such split, or ``limit`` rows are not to be drawn from it.
    """
    dataset = task.data
    examples = load(dataset, split)
    if limit is not None and limit < len(examples):
        if split != "test":
            chosen = {example.row for example in examples[:limit]}
        else:
            chosen = set(islice(row_order(dataset, seed), limit))
        examples = tuple(example for example in examples if example.row in chosen)
    if not examples:
        raise TestbedError(f"{dataset.name} has no rows in its split {split}; name another")
    rows = sorted(examples, key=lambda example: example.row)
    return Rows(task.kind, task.labels, dataset.name, split, dataset.cleaning, rows)
