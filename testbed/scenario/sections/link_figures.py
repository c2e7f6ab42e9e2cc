"""What a scenario may say of a link's delay, jitter and loss: a plain figure, or a mapping that says more."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, WrapValidator, model_validator
from pydantic.json_schema import SkipJsonSchema

from testbed.errors import TestbedError
from testbed.scenario.reading.delay_file import read_delay_file
from testbed.scenario.reading.mistakes import mistake
from testbed.scenario.reading.units import write_share, write_time_ms
from testbed.scenario.sections.section import Section, ShareOfOne, TimeMs, chosen, find_file, written
from testbed.scenario.topology import Bursts, JitterDistribution

_WORKED_OUT = ("median_ms", "most_ms")


class DelayFile(Section):
    """One-way delays from a file (:mod:`testbed.scenario.reading.delay_file`), one a frame.

    Their median and the longest are worked out from the file, and stand in a manifest, so that a run can be
    read without it.
    """

    file: str
    median_ms: SkipJsonSchema[Annotated[float, Field(ge=0)]]
    most_ms: SkipJsonSchema[Annotated[float, Field(ge=0)]]

    @property
    def unwritten(self) -> tuple[str, ...]:
        return _WORKED_OUT

    @model_validator(mode="before")
    @classmethod
    def _worked_out(cls, data: Any, info: ValidationInfo) -> Any:
        if info.context is None or not isinstance(data, dict):
            return data
        for key in _WORKED_OUT:
            if key in data:
                raise mistake("is worked out from the file; remove it", key)
        if not isinstance(file := data.get("file"), str):
            return data
        path = find_file(file, info.context, "file")
        try:
            delays_ms = read_delay_file(Path(path))
        except TestbedError as error:
            raise mistake(str(error), "file") from None
        return data | {"file": path, "median_ms": statistics.median(delays_ms), "most_ms": max(delays_ms)}


class Jitter(Section):
    """A standard deviation and its distribution; a plain figure is a normal one's."""

    sd_ms: TimeMs = Field(validation_alias="sd")
    distribution: JitterDistribution = "normal"


class BurstLoss(Section):
    """Losses in bursts: tc-netem(8)'s ``gemodel``, with ``bad`` as its 1-h and ``good`` as its 1-k."""

    model: Literal["gilbert"]
    p: ShareOfOne
    r: ShareOfOne
    bad: ShareOfOne = 1.0
    good: ShareOfOne = 0.0

    @model_validator(mode="after")
    def _ends(self) -> BurstLoss:
        if self.p > 0 and self.r == 0:
            raise mistake("is 0, so that the first burst would never end; write more", "r")
        return self

    @property
    def bursts(self) -> Bursts:
        return Bursts(self.p, self.r, self.bad, self.good)


def _figure_or(figure: Any, section: type[Section]) -> WrapValidator:
    return chosen(
        lambda value, _context: (section if isinstance(value, dict) else figure, value), figure | section
    )


DelayMs = Annotated[float | DelayFile, _figure_or(TimeMs, DelayFile), written(write_time_ms)]
JitterMs = Annotated[float | Jitter, _figure_or(TimeMs, Jitter), written(write_time_ms)]
Loss = Annotated[float | BurstLoss, _figure_or(ShareOfOne, BurstLoss), written(write_share)]


def shape_fields(figures: Mapping[str, Any]) -> dict[str, Any]:
    """A link's figures by the names of :class:`testbed.scenario.topology.Shape`'s fields.

    Each sets all fields that speak of the same thing, so that nothing stays of what the link had before: a
    plain ``loss`` ends the bursts.
    """
    fields: dict[str, Any] = {}
    for name, value in figures.items():
        if name == "delay_ms":
            from_file = isinstance(value, DelayFile)
            fields["delay_ms"] = value.median_ms if from_file else value
            fields["delay_file"] = value.file if from_file else None
        elif name == "jitter_ms":
            jitter = value if isinstance(value, Jitter) else Jitter(sd_ms=value)
            fields |= {"jitter_ms": jitter.sd_ms, "jitter_distribution": jitter.distribution}
        elif name == "loss":
            bursts = value.bursts if isinstance(value, BurstLoss) else None
            fields |= {"loss": value if bursts is None else bursts.mean, "bursts": bursts}
        else:
            fields[name] = value
    return fields
