"""A scenario's ``replay``: what decides when a request is sent, and how long it may take."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from testbed.scenario.reading.mistakes import mistake
from testbed.scenario.sections.section import Count, DeadlineS, Section, ThinkS

ThinkDistribution = Literal["fixed", "exponential"]


MAX_USERS = 10_000


class Replay(Section):
    """``open``: each request at its time, whatever is outstanding; ``lockstep``: one at a time; ``closed``:
    ``users`` who each think for ``think_s`` on average before a request.
    """

    mode: Literal["open", "closed", "lockstep"] = "open"
    deadline_s: DeadlineS = Field(default=30.0, validation_alias="deadline")
    users: Annotated[Count, Field(le=MAX_USERS)] | None = None
    think_s: ThinkS | None = Field(default=None, validation_alias="think")
    think_distribution: ThinkDistribution | None = None

    @model_validator(mode="before")
    @classmethod
    def _default_distribution(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("mode") == "closed":
            return {"think_distribution": "exponential", **data}
        return data

    @model_validator(mode="after")
    def _users_are_for_closed(self) -> Replay:
        given = {"users": self.users, "think": self.think_s, "think_distribution": self.think_distribution}
        missing = {"users": "say how many ask, like 4", "think": "say how long users think, like 500ms or 0s"}
        for field, value in given.items():
            if self.mode != "closed" and value is not None:
                raise mistake("is for a closed loop; remove it, or write mode: closed", field)
            if self.mode == "closed" and value is None:
                raise mistake(f"is missing; {missing.get(field, 'say fixed or exponential')}", field)
        return self
