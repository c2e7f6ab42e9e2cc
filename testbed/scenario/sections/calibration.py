"""A scenario's ``calibration``: rows apart from the trace, by which methods are set before the run."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from testbed.scenario.reading.mistakes import mistake
from testbed.scenario.sections.section import Count, HostFile, Section

MAX_ROWS = 10_000


class CalibrationSplit(Section):
    """``rows`` drawn from what the trace leaves of the held-out split, or those that a ``file`` names."""

    rows: Annotated[Count, Field(le=MAX_ROWS)] | None = None
    file: HostFile | None = None

    @model_validator(mode="after")
    def _one_source(self) -> CalibrationSplit:
        if (self.rows is None) == (self.file is None):
            raise mistake("give the number of rows to draw or, as file, a trace file that names them")
        return self
