"""What all shapes of a run's JSON files are made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MOST = 2**53
"""No count of a run is larger: up to here a float stands for each whole number."""
MOST_REAL = 1e18
"""No time, share or sum of a run is larger."""

Count = Annotated[int, Field(ge=0, le=MOST)]
Number = Annotated[float, Field(ge=-MOST_REAL, le=MOST_REAL)]
Ends = Annotated[list[Number | None], Field(min_length=2, max_length=2)] | None
"""Of an interval: one at infinity is null."""


class Shape(BaseModel):
    """A JSON object. A field with a default may be absent, as in older runs; further ones are let be."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class ByClaim(Shape):
    bytes: bool | None
    decisions: bool | None
    quality: bool | None
    latency: bool | None
