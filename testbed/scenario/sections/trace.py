"""A scenario's ``trace``: drawn from a data set, or read from a file."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from testbed.scenario.reading.mistakes import mistake
from testbed.scenario.sections.section import Count, FileContext, HostFile, Number, Section, chosen
from testbed.scenario.workload.trace_unit import Unit

MAX_REQUESTS = 1_000_000
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
Requests = Annotated[Count, Field(le=MAX_REQUESTS)]


class Arrivals(Section):
    """When requests come, ``rate_per_s`` of them a second.

    ``poisson``: independent, exponential gaps; ``uniform``: one every ``1 / rate_per_s`` seconds.
    """

    process: Literal["poisson", "uniform"] = "poisson"
    rate_per_s: Annotated[Number, Field(gt=0, le=100_000)] = Field(validation_alias="rate")


class DrawnTrace(Section):
    """A trace drawn from the task's data set; ``seed`` seeds policies and links' losses too."""

    kind: ClassVar[Literal["drawn"]] = "drawn"

    requests: Requests
    arrivals: Arrivals
    seed: Seed = 1


class FileTrace(Section):
    """A trace from a file, or its first ``requests``; ``seed`` is for policies and links' losses.

    ``unit`` is that of the file's times; not given it is seconds, but a trace of hours is then asked about.
    """

    kind: ClassVar[Literal["file"]] = "file"

    file: HostFile
    unit: Unit = "s"
    requests: Requests | None = None
    seed: Seed = 1

    @model_validator(mode="before")
    @classmethod
    def _no_arrivals(cls, data: Any) -> Any:
        if isinstance(data, dict) and "arrivals" in data:
            raise mistake("a trace from a file has its own; remove them, or set trace as a whole", "arrivals")
        return data


def _section(value: Any, _context: FileContext | None) -> tuple[type[Section], Any]:
    return FileTrace if isinstance(value, dict) and "file" in value else DrawnTrace, value


Trace = Annotated[DrawnTrace | FileTrace, chosen(_section)]
"""A scenario's ``trace:``."""
