"""Answer matrices of a few rows, made by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from testbed.scenario.matrix import DatasetRows, Header, Matrix, ModelAnswers, ModelRecord, TaskOf, prompt_key

LABELS = ["negative", "positive"]
PROMPTS = ["a dull film", "schön", "fine , really"]
ROWS = (3, 10, 11)


def classifier(name: str, logits: Sequence[Sequence[float]] | None = None) -> ModelAnswers:
    """A classifier's answers; by default to :data:`PROMPTS`."""
    logits = [[1.5, -0.25], [-2.0, 0.125], [0.1, 0.3]] if logits is None else logits
    count = len(logits)
    return ModelAnswers(
        name,
        [LABELS[int(np.argmax(row))] for row in logits],
        logits,
        [None] * count,
        [None] * count,
        [7] * count,
        [1] * count,
        [False] * count,
        [12.5, *[None] * (count - 1)],
    )


def generator(name: str) -> ModelAnswers:
    """A generator's answers to :data:`PROMPTS`, one without tokens."""
    logprobs = [[-0.1, -0.2], [-0.5], []]
    return ModelAnswers(
        name,
        ["ein öder Film", "schön", ""],
        [None] * 3,
        logprobs,
        [None] * 3,
        [5, 3, None],
        [2, 1, 0],
        [False, True, False],
        [30.0, 20.0, 10.0],
    )


def record(**changed: Any) -> ModelRecord:
    """What a header says of a model."""
    return ModelRecord.model_validate(
        {"kind": "transformers", "model": "x/y", "confidence": "max_softmax", **changed}
    )


def matrix(
    *models: ModelAnswers,
    prompts: Sequence[str] = PROMPTS,
    rows: Sequence[int] = ROWS,
    labels: Sequence[str] = LABELS,
    references: Sequence[str | None] | None = None,
    records: dict[str, ModelRecord] | None = None,
    dataset: str = "rotten_tomatoes",
) -> Matrix:
    """These models over some prompts; one classifier, if none is given."""
    models = models or (classifier("device"),)
    keys = [prompt_key(prompt) for prompt in prompts]
    kind = "classification" if labels else "translation"
    header = Header(
        task=TaskOf(kind=kind, labels=list(labels)),
        dataset=DatasetRows(
            name=dataset, split="test", rows=len(rows), sha256=hashlib.sha256(b"".join(keys)).hexdigest()
        ),
        cleaning="paper" if labels else "none",
        models={
            model.name: record(confidence="max_softmax" if model.logits[0] else "inverse_perplexity")
            for model in models
        }
        | (records or {}),
    )
    return Matrix(
        header,
        np.array(rows, dtype=np.int64),
        keys,
        np.array([len(prompt.encode()) for prompt in prompts], dtype=np.int64),
        ["negative"] * len(rows) if references is None else references,
        {model.name: model for model in models},
    )
