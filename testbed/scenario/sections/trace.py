"""A scenario's ``trace``: drawn from a data set, or read from a file."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from testbed.scenario.reading.mistakes import mistake
from testbed.scenario.reading.units import parse_time_s, write_time_s
from testbed.scenario.sections.section import (
    Count,
    FileContext,
    HostFile,
    Number,
    Section,
    ShareOfOne,
    chosen,
    quantity,
    written,
)
from testbed.scenario.workload.trace_unit import Unit

MAX_REQUESTS = 1_000_000
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
Requests = Annotated[Count, Field(le=MAX_REQUESTS)]


PeriodS = Annotated[float, Field(gt=0), quantity(parse_time_s, "1s", "744h"), written(write_time_s)]
_SHAPE = {
    "burstiness": ("gamma", "say by how much gaps vary, like 3; 1 is poisson"),
    "period": ("diurnal", "say how long a day is, like 24h"),
    "swing": ("diurnal", "say how far the rate goes from its mean, like 80%"),
}
"""Keys of one process alone: whose they are, and what to write."""


class Arrivals(Section):
    """When requests come, ``rate_per_s`` of them a second on average.

    ``poisson``: independent, exponential gaps. ``gamma``: independent gaps whose standard deviation is
    ``burstiness`` times their mean. ``diurnal``: Poisson with a rate that goes up and down by ``swing`` of
    its mean, once in ``period_s``; it begins at the mean and rises. ``constant``: one every
    ``1 / rate_per_s`` seconds; ``uniform`` is an older name of it.
    """

    process: Literal["poisson", "gamma", "diurnal", "constant", "uniform"] = "poisson"
    rate_per_s: Annotated[Number, Field(gt=0, le=100_000)] = Field(validation_alias="rate")
    burstiness: Annotated[Number, Field(ge=0.01, le=100)] | None = None
    period_s: PeriodS | None = Field(default=None, validation_alias="period")
    swing: ShareOfOne | None = None

    @model_validator(mode="after")
    def _keys_of_its_process(self) -> Arrivals:
        given = {"burstiness": self.burstiness, "period": self.period_s, "swing": self.swing}
        for field, value in given.items():
            process, mend = _SHAPE[field]
            if self.process != process and value is not None:
                raise mistake(f"is for process: {process}; remove it, or write that", field)
            if self.process == process and value is None:
                raise mistake(f"is missing; {mend}", field)
        return self


class DrawnTrace(Section):
    """A trace drawn from the task's data set; ``seed`` seeds policies and links' losses too."""

    kind: ClassVar[Literal["drawn"]] = "drawn"

    requests: Requests
    arrivals: Arrivals
    seed: Seed = 1


class FileTrace(Section):
    """A trace from a file, or its first ``requests``; ``seed`` is for policies and links' losses.

    ``unit`` is that of the file's times. Not given it is seconds if the file says so in its header; of any
    other file that lasts longer than a moment it is asked.
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
