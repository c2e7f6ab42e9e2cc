"""The header of an answer matrix: what was asked, which models answered, and on what they ran."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from testbed.scenario.workload.datasets.base import Cleaning

FORMAT = 1
"""Of a file's columns and header; a reader refuses any other."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Amount = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class _Part(BaseModel):
    """A mapping of the header. Keys that a later testbed adds are passed over, and still checksummed."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, strict=True)


class TaskOf(_Part):
    """What the prompts are; ``labels`` in the order of a classifier's ``logits``, if the task has any."""

    kind: Name
    labels: list[str] = []


class DatasetRows(_Part):
    """Which rows the matrix has: ``rows`` of a data set's split.

    ``sha256`` is of the prompts' SHA-256s (32 bytes each), in ascending order of their rows.
    """

    name: Annotated[str, Field(min_length=1, max_length=4096)]
    split: Name
    rows: Count
    sha256: Sha256


class ServiceTimes(_Part):
    """Milliseconds of an inference by itself, over the ``samples`` that were timed one at a time."""

    samples: Annotated[int, Field(ge=1)]
    mean: Amount
    p50: Amount
    p95: Amount


class Flips(_Part):
    """What a batch changed on ``samples`` prompts that were inferred alone as well.

    ``answers`` differ; ``confidence`` is the largest absolute change of a confidence.
    """

    samples: Annotated[int, Field(ge=1)]
    answers: Count
    confidence: Amount


class ModelRecord(_Part):
    """One model of a matrix, and how it was asked.

    Attributes:
        kind: of model, as in a scenario.
        model: which one: an embedded rung, a hub name, a directory's name, or an engine's name for it.
        revision: ``sha256:`` of its weights or a commit of the hub; ``None`` if an engine does not say.
        confidence: by default, for what it puts out.
        template: in which a model that reads text by prompts was asked; ``None`` for any other.
        options: others of the model kind, such as ``max_tokens``.
        service_ms, flips: ``None`` where nothing was inferred one at a time.
    """

    kind: Name
    model: Name
    revision: str | None = None
    dtype: str | None = None
    batch: Annotated[int, Field(ge=1)] = 1
    device: str | None = None
    confidence: Name
    template: str | None = None
    options: Mapping[str, Any] = {}
    service_ms: ServiceTimes | None = None
    flips: Flips | None = None
    libraries: Mapping[str, str] = {}
    hardware: Mapping[str, str] = {}


class Header(_Part):
    """All of a matrix but its rows. ``sha256`` is the checksum of both; empty until it is written."""

    format: Literal[1] = 1
    task: TaskOf
    dataset: DatasetRows
    cleaning: Cleaning
    models: Annotated[dict[Name, ModelRecord], Field(min_length=1)]
    sha256: str = ""
