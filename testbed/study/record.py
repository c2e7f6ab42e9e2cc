"""Runs models over rows of a data set in batches, and keeps all that they put out as an answer matrix."""

from __future__ import annotations

import hashlib
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.host.facts import usable_cpus
from testbed.scenario.matrix import (
    DatasetRows,
    Flips,
    Header,
    Matrix,
    ModelAnswers,
    ModelRecord,
    ServiceTimes,
    TaskOf,
    prompt_key,
)
from testbed.scenario.workload.datasets import Example
from testbed.scenario.workload.datasets.base import Cleaning
from testbed.study.models import HostModel, hardware, libraries
from tiers.confidence import Confidence, confidence_in, make_confidence
from tiers.errors import ConfigError
from tiers.models.base import Model, Output, described, load_model, plain_output
from tiers.models.transformers import set_environment
from tiers.plain import told

WARM_UP = 3
"""Inferences before the first that is timed."""
_WHATEVER = (Exception, SystemExit)
"""What a model, a library or an engine may raise."""


@dataclass(frozen=True)
class Rows:
    """What is asked: rows of a data set's split, in ascending order."""

    task_kind: str
    labels: Sequence[str]
    dataset: str
    split: str
    cleaning: Cleaning
    examples: Sequence[Example]


@dataclass(frozen=True)
class Effort:
    """How models are asked: so many prompts together, and so many alone, which are timed.

    Batches have all CPUs. What is timed has as many threads as a tier's model: ⌊cpus⌋, at least one.
    """

    batch: int = 32
    timed: int = 64
    device: str = "cpu"


def record(models: Sequence[HostModel], rows: Rows, effort: Effort, reporter: Reporter) -> Matrix:
    """What each model answers to each row, with how it was asked in the header.

    Rows of like length share a batch. Then ``timed`` rows, evenly spaced by length, are asked one at a time:
    that gives their service times, and shows what the batch changed.

    Raises:
        TestbedError: a model cannot be loaded, or fails at a row.
    """
    require_device(effort.device)
    _before_torch(models)
    answers: dict[str, ModelAnswers] = {}
    records: dict[str, ModelRecord] = {}
    for model in models:
        answers[model.name], records[model.name] = _ask(model, rows, effort, reporter)
    keys = [prompt_key(example.text) for example in rows.examples]
    header = Header(
        task=TaskOf(kind=rows.task_kind, labels=list(rows.labels)),
        dataset=DatasetRows(
            name=rows.dataset,
            split=rows.split,
            rows=len(keys),
            sha256=hashlib.sha256(b"".join(keys)).hexdigest(),
        ),
        cleaning=rows.cleaning,
        models=records,
    )
    return Matrix(
        header,
        np.array([example.row for example in rows.examples], dtype=np.int64),
        keys,
        np.array([len(example.text.encode()) for example in rows.examples], dtype=np.int64),
        [example.reference or None for example in rows.examples],
        answers,
    )


def require_device(device: str) -> None:
    """See to it that models can infer on a device, ``cpu`` or ``cuda``.

    Raises:
        TestbedError: it is neither, or not to be had here.
    """
    if device == "cpu":
        return
    if not re.fullmatch(r"cuda(:\d+)?", device):
        raise TestbedError(f"--device: must be cpu or cuda, not {device!r}")
    import torch

    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise TestbedError(
            f"--device: {device} is not to be had here ({reason}); leave it out, for cpu"
        ) from None


def _before_torch(models: Sequence[HostModel]) -> None:
    """Import torch as a whole: a tier imports what one classifier needs, and a process only once."""
    if any(model.is_checkpoint for model in models):
        set_environment(usable_cpus(), offline=True)
        import transformers  # noqa: F401


def _ask(
    asked: HostModel, rows: Rows, effort: Effort, reporter: Reporter
) -> tuple[ModelAnswers, ModelRecord]:
    reporter.say(f"{asked.name}: loading {asked.word}")
    try:
        model = load_model(asked.config)
        name = asked.confidence or model.confidence
        measure = make_confidence(name)
        about = described(model)
    except ConfigError as error:
        raise TestbedError(f"{asked.name}: {error}") from error
    except _WHATEVER as error:
        raise TestbedError(f"{asked.name}: cannot be loaded ({told(error)})") from error
    with _threads(usable_cpus()):
        outputs = _in_batches(asked, model, measure, rows, effort.batch, reporter)
    with _threads(asked.config.threads):
        alone, times_ms = _one_at_a_time(asked, model, rows, effort, reporter)
    if effort.batch == 1:
        outputs = [alone.get(at, output) for at, output in enumerate(outputs)]
    record = ModelRecord(
        kind=asked.kind,
        model=asked.word,
        revision=asked.revision,
        dtype="float32" if asked.is_checkpoint else None,
        batch=effort.batch,
        device=effort.device if asked.is_checkpoint else None,
        confidence=name,
        template=about.get("template"),
        options=asked.told_options(),
        service_ms=_summary(list(times_ms.values())),
        flips=_flips(outputs, alone, measure) if effort.batch > 1 else None,
        libraries={} if asked.reaches_outside else libraries(),
        hardware={} if asked.reaches_outside else hardware(effort.device, asked.config.threads),
    )
    _tell(asked.name, record, outputs, rows.labels, reporter)
    return _answers(asked.name, outputs, times_ms), record


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let torch infer by so many threads, where it is loaded."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)
    yield


def _by_length(rows: Rows) -> list[int]:
    return sorted(range(len(rows.examples)), key=lambda at: (len(rows.examples[at].text), at))


def _in_batches(
    asked: HostModel, model: Model, measure: Confidence, rows: Rows, batch: int, reporter: Reporter
) -> list[Output]:
    """The outputs in the order of the rows; of each, a confidence can be computed."""
    order, found = _by_length(rows), dict[int, Output]()
    with reporter.counting(f"{asked.name}: recording {len(order)} rows", len(order)) as progress:
        for start in range(0, len(order), batch):
            places = order[start : start + batch]
            with _naming(asked.name, rows.examples[places[0]].row, batch):
                given = model.infer_many([rows.examples[at].text for at in places])
                outputs = [plain_output(output) for output in given]
                for output in outputs:
                    confidence_in(output, measure)
                found.update(zip(places, outputs, strict=True))
            progress(len(found), len(order))
    return [found[at] for at in range(len(order))]


def _one_at_a_time(
    asked: HostModel, model: Model, rows: Rows, effort: Effort, reporter: Reporter
) -> tuple[dict[int, Output], dict[int, float]]:
    """The outputs and the milliseconds of a sample of rows, by their places."""
    order = _by_length(rows)
    count = min(effort.timed, len(order))
    sample = [order[(2 * at + 1) * len(order) // (2 * count)] for at in range(count)]
    alone: dict[int, Output] = {}
    times_ms: dict[int, float] = {}
    with reporter.counting(f"{asked.name}: timing {count} rows one at a time", count) as progress:
        for at in [*sample[:WARM_UP], *sample]:
            with _naming(asked.name, rows.examples[at].row, 1):
                started = time.perf_counter()
                given = model.infer(rows.examples[at].text)
                times_ms[at] = round((time.perf_counter() - started) * 1000, 3)
                alone[at] = plain_output(given)
            progress(len(alone), count)
    return alone, times_ms


@contextmanager
def _naming(model: str, row: int, batch: int) -> Iterator[None]:
    """Say of what a model raises in the block whose it is; nothing is written then."""
    try:
        yield
    except _WHATEVER as error:
        mend = "; take a smaller --batch" if batch > 1 and "memory" in str(error) else ""
        raise TestbedError(f"{model}: fails at row {row} or in its batch ({told(error)}){mend}") from error


def _summary(times_ms: Sequence[float]) -> ServiceTimes | None:
    if not times_ms:
        return None
    p50, p95 = np.quantile(times_ms, [0.5, 0.95])
    return ServiceTimes(
        samples=len(times_ms),
        mean=round(float(np.mean(times_ms)), 3),
        p50=round(float(p50), 3),
        p95=round(float(p95), 3),
    )


def _flips(outputs: Sequence[Output], alone: Mapping[int, Output], measure: Confidence) -> Flips | None:
    """What the batch changed of the rows that were asked alone as well."""
    if not alone:
        return None
    pairs = [(outputs[at], output) for at, output in alone.items()]
    return Flips(
        samples=len(pairs),
        answers=sum(batched.answer != single.answer for batched, single in pairs),
        confidence=max(
            abs(confidence_in(batched, measure) - confidence_in(single, measure)) for batched, single in pairs
        ),
    )


def _tell(
    name: str, record: ModelRecord, outputs: Sequence[Output], labels: Sequence[str], reporter: Reporter
) -> None:
    if flips := record.flips:
        reporter.say(
            f"{name}: of {flips.samples} rows that were asked alone as well, batches of {record.batch} "
            f"changed {flips.answers} answers, and confidences by {flips.confidence:.2g} at most"
        )
    if times := record.service_ms:
        reporter.say(
            f"{name}: {times.mean:.1f} ms an inference alone (median {times.p50:.1f}, 95 % {times.p95:.1f})"
        )
    if strange := sum(output.answer not in labels for output in outputs) if labels else 0:
        reporter.say(f"{name}: {strange} of {len(outputs)} answers are none of the labels")


def _answers(name: str, outputs: Sequence[Output], times_ms: Mapping[int, float]) -> ModelAnswers:
    def column(field: str) -> list[Any]:
        return [getattr(output, field) for output in outputs]

    return ModelAnswers(
        name,
        column("answer"),
        column("logits"),
        column("token_logprobs"),
        column("confidence"),
        column("prompt_tokens"),
        column("completion_tokens"),
        column("cut_off"),
        [times_ms.get(at) for at in range(len(outputs))],
    )
