"""A scenario's ``task``: what the prompts are, and what an answer to them is."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from testbed.errors import TestbedError
from testbed.scenario.reading.mistakes import mistake
from testbed.scenario.sections.dataset import AnyDataset, OwnDataset, find_dataset
from testbed.scenario.sections.kind import (
    Kind,
    TemplateText,
    has_labels,
    is_for_any_data,
    needs_reference,
    task_of,
    today,
)
from testbed.scenario.sections.section import Section
from testbed.scenario.workload.datasets import DATASETS, Dataset, load


class Task(Section):
    """What the prompts are and what an answer to them is.

    ``labels`` default to the data set's. ``template`` is what models are asked, with ``{text}`` for the
    prompt; the kind's own if it is not given.
    """

    kind: Kind
    dataset: AnyDataset
    labels: Annotated[tuple[str, ...], Field(validate_default=True)] = ()
    template: TemplateText | None = None

    @property
    def asked(self) -> dict[str, Any]:
        """What tiers are told of it. A user's class is asked here, so that no tier needs its file.

        Raises:
            TestbedError: there is such a class, and it is not as it must be.
        """
        kind = task_of(self.kind)
        return {
            "kind": self.kind,
            "labels": list(self.labels),
            "template": self.template or kind.template,
            "confidence": kind.confidence,
        }

    @property
    def trace_labels(self) -> tuple[str, ...] | None:
        """The labels that the data sets of its trace must have; ``None`` if any will do."""
        return None if is_for_any_data(self.kind) else self.labels

    @property
    def data(self) -> Dataset:
        """The data set, ready to be read."""
        if isinstance(self.dataset, str):
            return DATASETS[self.dataset]
        return self.dataset.data(self.kind, self.labels)

    @property
    def datasets(self) -> Mapping[str, Dataset]:
        """By name, the data sets whose rows a trace of it may have."""
        return ChainMap({self.data.name: self.data}, dict(DATASETS))

    @field_validator("dataset")
    @classmethod
    def _known(cls, dataset: AnyDataset) -> AnyDataset:
        if isinstance(dataset, str):
            find_dataset(dataset)
        return dataset

    @field_validator("labels")
    @classmethod
    def _default_labels(cls, labels: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        dataset, kind = info.data.get("dataset"), info.data.get("kind")
        if labels or dataset is None:
            return labels
        if kind is None or not has_labels(kind):
            return labels
        if not isinstance(dataset, OwnDataset):
            return DATASETS[dataset if isinstance(dataset, str) else dataset.name].labels
        if info.context is None:
            return labels
        try:
            return dataset.data(kind, ()).distinct_references()
        except TestbedError:  # which reading it as a whole will raise again, as a mistake of the data set
            return labels

    @model_validator(mode="after")
    def _fits_the_data_set(self, info: ValidationInfo) -> Task:
        dataset = self.data
        if isinstance(self.dataset, OwnDataset):
            self._fits_the_file(self.dataset, read=info.context is not None)
            return self
        if is_for_any_data(self.kind):
            self._has_no_labels()
            return self
        if today(self.kind) != dataset.kind:
            raise mistake(f"{dataset.name} is for {dataset.kind}, not {self.kind!r}; write that", "kind")
        if self.labels != dataset.labels:
            raise mistake(
                f"{dataset.name} has the labels [{', '.join(dataset.labels)}]; write those", "labels"
            )
        return self

    def _fits_the_file(self, dataset: OwnDataset, *, read: bool) -> None:
        """A file has what the kind of task needs. A manifest must load without the file."""
        if dataset.reference is None and needs_reference(self.kind):
            raise mistake(
                f"{self.kind} is scored by references; name their column, or write kind: generation",
                "dataset.reference",
            )
        self._has_no_labels()
        if len(set(self.labels)) < len(self.labels):
            raise mistake("one is there twice; give each once", "labels")
        if read:
            try:
                load(self.data, "test")
            except TestbedError as error:
                raise mistake(str(error), "dataset") from None
        if has_labels(self.kind) and len(self.labels) < 2:
            raise mistake(
                f"[{', '.join(self.labels)}] leaves nothing to tell apart; there must be two", "labels"
            )

    def _has_no_labels(self) -> None:
        if self.labels and not has_labels(self.kind):
            raise mistake(f"are for a classification, and the task is {self.kind}; remove them", "labels")
