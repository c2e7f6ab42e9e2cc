"""A task's ``dataset``: a data set's name, one with the directory of its files, or a file of the user's."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from testbed.errors import TestbedError
from testbed.scenario.reading.mistakes import mistake, nearest
from testbed.scenario.sections.section import (
    FileContext,
    HostFile,
    HostPath,
    NameLike,
    Section,
    chosen,
    one_of,
)
from testbed.scenario.workload.datasets import DATASETS, Dataset
from testbed.scenario.workload.datasets.base import Cleaning
from testbed.scenario.workload.datasets.hub import HubDataset
from testbed.scenario.workload.datasets.own import OwnFile, sha256_of

_NAME, _NAME_WORDS = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", "letters, digits, - _ and ., at most 64"
SHA256 = r"[0-9a-f]{64}"


def find_dataset(name: str) -> Dataset:
    """The data set of that name.

    Raises:
        PydanticCustomError: there is none.
    """
    if name not in DATASETS:
        raise mistake(f"no data set {name!r}; {nearest(name, DATASETS)}")
    return DATASETS[name]


class HubFolder(Section):
    """A data set of the hub, ``name``, whose files are in the directory ``path`` as in its repository."""

    name: Annotated[str, one_of(name for name, found in DATASETS.items() if isinstance(found, HubDataset))]
    path: HostPath

    @field_validator("name")
    @classmethod
    def _of_the_hub(cls, name: str) -> str:
        if not isinstance(find_dataset(name), HubDataset):
            close = next((one for one in DATASETS if one.endswith(f"/{name}")), None)
            mend = f"the hub's is {close}" if close else "write its name alone"
            raise mistake(f"{name} comes from a package and has no path; {mend}")
        return name

    @model_validator(mode="after")
    def _holds_the_file(self, info: ValidationInfo) -> HubFolder:
        if info.context is not None:
            try:
                self.data("", ()).path()
            except TestbedError as error:
                raise mistake(str(error), "path") from None
        return self

    def data(self, _kind: str, _labels: tuple[str, ...]) -> HubDataset:
        """The data set."""
        found = DATASETS[self.name]
        assert isinstance(found, HubDataset)
        return dataclasses.replace(found, folder=self.path)


class OwnDataset(Section):
    """A CSV, JSON Lines or Parquet file of the user's, with the names of its columns.

    ``sha256`` is the file's. A person need not write it; a manifest has it, so that a run that is made again
    has the same rows or is refused.
    """

    file: HostFile
    text: str
    reference: str | None = None
    name: Annotated[str, NameLike(_NAME, _NAME_WORDS)] = Field(default="", validate_default=False)
    cleaning: Cleaning | None = None
    sha256: str | None = Field(default=None, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _named_by_its_file(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "name" in data or not isinstance(file := data.get("file"), str):
            return data
        name = Path(file).stem
        if name and not re.fullmatch(_NAME, name, re.ASCII):
            raise mistake(f"{name!r} is no name of a data set; add one of {_NAME_WORDS}", "name")
        return {**data, "name": name} if name else data  # no path of a file, as which it is refused

    @field_validator("name")
    @classmethod
    def _name_of_its_own(cls, name: str) -> str:
        if name in DATASETS:
            raise mistake(f"{name} is another data set's; give this one a name of its own")
        return name

    @field_validator("sha256")
    @classmethod
    def _of_the_file(cls, sha256: str | None, info: ValidationInfo) -> str | None:
        if info.context is None or "file" not in info.data or sha256 is not None:
            return sha256
        try:
            return sha256_of(Path(info.data["file"]))
        except TestbedError as error:
            raise mistake(str(error)) from None

    def data(self, kind: str, labels: tuple[str, ...]) -> OwnFile:
        """The data set, for a task of that kind with those labels."""
        cleaning = self.cleaning or ("paper" if kind == "classification" else "none")
        return OwnFile(
            self.name, kind, labels, cleaning, self.file, self.text, self.reference, self.sha256 or ""
        )


def _section(value: Any, _context: FileContext | None) -> tuple[Any, Any]:
    if not isinstance(value, dict):
        return str, value
    return (OwnDataset if "file" in value else HubFolder), value


DatasetName = Annotated[str, one_of(DATASETS)]
AnyDataset = Annotated[DatasetName | HubFolder | OwnDataset, chosen(_section)]
"""The ``dataset:`` of a task."""
