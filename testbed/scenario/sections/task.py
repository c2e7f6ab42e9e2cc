"""A scenario's ``task``: what the prompts are, and what an answer to them is."""

from __future__ import annotations

from typing import Any

from pydantic import model_validator

from testbed.scenario.reading.mistakes import mistake, nearest
from testbed.scenario.sections.section import Section
from testbed.scenario.workload.datasets import DATASETS


class Task(Section):
    """What the prompts are and what an answer to them is. ``labels`` default to the data set's."""

    kind: str
    dataset: str
    labels: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _default_labels(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(name := data.get("dataset"), str) and name in DATASETS:
            return {"labels": list(DATASETS[name].labels), **data}
        return data

    @model_validator(mode="after")
    def _fits_the_data_set(self) -> Task:
        if self.dataset not in DATASETS:
            raise mistake(f"no data set {self.dataset!r}; {nearest(self.dataset, DATASETS)}", "dataset")
        dataset = DATASETS[self.dataset]
        if self.kind != dataset.kind:
            raise mistake(f"{self.dataset} is for {dataset.kind}, not {self.kind!r}; write that", "kind")
        if self.labels != dataset.labels:
            raise mistake(
                f"{self.dataset} has the labels [{', '.join(dataset.labels)}]; write those", "labels"
            )
        return self
