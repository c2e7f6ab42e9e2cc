"""The section of an engine that the testbed starts behind a tier."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from testbed.errors import TestbedError
from testbed.host.ggufs import GGUFS, require_gguf
from testbed.scenario.reading.mistakes import mistake, nearest
from testbed.scenario.sections.section import Count, find_file
from testbed.scenario.sections.tier_model import TierModel

OUTSIDE = ("url", "model", "api_key_env", "ca")
"""Keys of ``openai`` that say where an engine is; one that the testbed starts has none of them."""


class EngineEntry(TierModel):
    """An engine that the testbed starts behind the tier, in a container of its own.

    ``gguf`` is the name of a prepared model (:data:`testbed.host.ggufs.GGUFS`) or a file's path. The engine
    serves ``slots`` requests at a time, each of ``context`` tokens with its answer. Other keys are those of
    ``openai``.
    """

    engine: Literal["llama.cpp"]
    gguf: str
    context: Annotated[Count, Field(le=1 << 20)] = 2048
    slots: Annotated[Count, Field(le=64)] = 1

    @field_validator("gguf")
    @classmethod
    def _gguf(cls, gguf: str, info: ValidationInfo) -> str:
        if gguf in GGUFS or info.context is None:
            return gguf
        if "/" not in gguf and not gguf.endswith(".gguf"):
            raise mistake(f"no prepared GGUF {gguf!r}; {nearest(gguf, [*GGUFS, 'FILE.gguf'])}")
        path = find_file(gguf, info.context)
        try:
            require_gguf(Path(path))
        except TestbedError as error:
            raise mistake(str(error)) from None
        return path

    @property
    def told_as(self) -> str:
        return f"{self.engine} with {self.name}"

    @property
    def served_as(self) -> str:
        return "openai"

    @property
    def name(self) -> str:
        """What the engine calls its model."""
        return self.gguf if self.gguf in GGUFS else Path(self.gguf).name

    @property
    def options(self) -> dict[str, Any]:
        own = ("engine", "gguf", "context", "slots")
        asked = {key: value for key, value in super().options.items() if key not in own}
        params = {"top_logprobs": 1, **(asked.pop("params", None) or {})}  # llama.cpp would send twenty
        return {"model": self.name, **asked, "params": params}
