"""Which model a tier serves: a section for each kind, written as a mapping or, mostly, as a word."""

from __future__ import annotations

import difflib
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, SerializeAsAny, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from testbed.errors import TestbedError
from testbed.host.checkpoints import checkpoint_files, is_checkpoint
from testbed.host.embedded.ladder import RUNGS
from testbed.host.embedded.translation.ladder import SIZES
from testbed.scenario.reading.mistakes import mistake, nearest
from testbed.scenario.sections.derived import section_of
from testbed.scenario.sections.engines import OUTSIDE, EngineEntry
from testbed.scenario.sections.section import (
    FileContext,
    HostFile,
    HostPath,
    TimeMs,
    chosen,
    find_external,
    one_of,
)
from testbed.scenario.sections.tier_model import TierModel
from tiers.models import KINDS
from tiers.models.recorded import DISTRIBUTION, Distribution
from tiers.plugins import external

MATRIX = ".parquet"
"""How the name of an answer matrix ends."""
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


EMBEDDED = {
    **dict.fromkeys(RUNGS, "classification"),
    **dict.fromkeys((f"translation/{name}" for name in SIZES), "translation"),
}
"""The kind of task of each embedded model."""


class EmbeddedEntry(TierModel):
    """A rung of an embedded ladder, which needs no model hub: ``embedded/device``."""

    rung: Annotated[str, one_of(EMBEDDED)]

    @field_validator("rung")
    @classmethod
    def _known(cls, rung: str) -> str:
        if rung not in EMBEDDED:
            raise mistake(f"no embedded model {rung!r}; {nearest(rung, EMBEDDED)}")
        return rung

    @property
    def told_as(self) -> str:
        return f"embedded/{self.rung}"

    @property
    def task(self) -> str:
        """The kind of task that it was made for."""
        return EMBEDDED[self.rung]

    @property
    def served_as(self) -> str:
        return "transformers"


class CheckpointEntry(TierModel):
    """A checkpoint that Transformers opens: a directory (``path``) or a name on the ``hub``."""

    path: HostPath | None = None
    hub: str | None = None

    @field_validator("path")
    @classmethod
    def _checkpoint(cls, path: str | None, info: ValidationInfo) -> str | None:
        if path is None or info.context is None:
            return path
        if not _is(is_checkpoint, Path(path)):
            raise mistake(f"{path} is no Transformers checkpoint directory; it must hold a config.json")
        try:
            checkpoint_files(Path(path))
        except TestbedError as error:
            raise mistake(str(error)) from None
        return path

    @field_validator("hub")
    @classmethod
    def _hub_name(cls, hub: str | None) -> str | None:
        if hub is not None and not _HUB_NAME.fullmatch(hub):
            raise mistake(f"{hub!r} is no name of a model hub; write it like organisation/model")
        return hub

    @model_validator(mode="after")
    def _one_source(self) -> CheckpointEntry:
        if (self.path is None) == (self.hub is None):
            raise mistake("give the path of a checkpoint directory or, as hub, a model's name there")
        return self

    @property
    def options(self) -> dict[str, Any]:
        options = super().options
        if self.hub is not None:
            options["path"] = options.pop("hub")
        return options


class RecordedEntry(TierModel):
    """Answers of earlier inferences, without torch: from ``path``, JSON Lines or an answer matrix (Parquet).

    ``model`` says which of a matrix's models it is, where neither its number nor the tier's name does.

    Where there is no file, every prompt gets an answer and a confidence from the hash of its text, after
    ``service_ms``: always, or on average if ``distribution`` is exponential. So does a prompt that the file
    lacks if ``missing`` says so; else a run is refused (:mod:`testbed.scenario.recordings`).
    """

    path: HostFile | None = None
    model: str | None = None
    missing: Literal["made-up"] | None = None
    service_ms: TimeMs | None = Field(default=None, validation_alias="service")
    distribution: Distribution = DISTRIBUTION

    @model_validator(mode="after")
    def _some_source(self) -> RecordedEntry:
        if self.path is None and self.service_ms is None:
            raise mistake("give the path of recorded inferences, a service time such as 5ms, or both")
        if self.missing is not None and self.path is None:
            raise mistake(
                "is for a file that lacks prompts; without a path all is made up, so leave it out", "missing"
            )
        if self.missing is not None and self.service_ms is None:
            raise mistake("needs a service time: how long a made-up answer takes, such as 5ms", "missing")
        if self.model is not None and not self.is_matrix:
            raise mistake(
                "says which of an answer matrix's models it is; name a FILE.parquet as path", "model"
            )
        if self.distribution != DISTRIBUTION and self.service_ms is None:
            raise mistake("needs a service time, which is its mean, such as 5ms", "distribution")
        return self

    @property
    def is_matrix(self) -> bool:
        """Whether its file is an answer matrix."""
        return self.path is not None and self.path.endswith(MATRIX)

    @property
    def makes_up(self) -> bool:
        """Whether it gives answers that no model gave."""
        return self.path is None or self.missing is not None

    @property
    def warms_up(self) -> bool:
        return self.path is None  # a file need not have the texts of a warm-up

    @property
    def options(self) -> dict[str, Any]:
        options = super().options
        options.pop("model", None)  # what a matrix has of it is extracted before a tier starts
        service_ms, distribution = options.pop("service_ms", None), options.pop("distribution")
        if service_ms is not None:
            options["default"] = {"service_ms": service_ms, "distribution": distribution}
        return options


class OpenAIEntry(TierModel):
    """An engine elsewhere, known by the certificates in ``ca``. Other keys are the constructor's."""

    ca: HostFile | None = None

    @field_validator("ca")
    @classmethod
    def _certificates(cls, ca: str | None, info: ValidationInfo) -> str | None:
        if ca is not None and info.context is not None:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(ca)
            except OSError:  # of which SSLError is one
                raise mistake(f"{ca} holds no certificate in PEM form; name a file that does") from None
        return ca


class ExternalModel(TierModel):
    """A model class in a file of the user's, ``FILE.py:CLASS``; its options are its own affair."""

    model_config = ConfigDict(extra="allow")


_WRITTEN: dict[str, type[TierModel]] = {
    "embedded": EmbeddedEntry,
    "transformers": CheckpointEntry,
    "recorded": RecordedEntry,
    "openai": OpenAIEntry,
    "engine": EngineEntry,
}
"""The kinds that have keys which are no options of their constructors."""


def _kinds() -> list[str]:
    """The names of all kinds of models."""
    return list(dict.fromkeys((*_WRITTEN, *KINDS.names)))


def model_sections() -> dict[str, type[TierModel]]:
    """By kind, the section that reads a model."""
    return {kind: _section_of(kind) for kind in _kinds()}


def _section_of(kind: str) -> type[TierModel]:
    written = _WRITTEN.get(kind, TierModel)
    if written is EngineEntry:
        return section_of(KINDS.find("openai"), written, defaults=False, without=OUTSIDE)
    return section_of(KINDS.find(kind), written, defaults=False) if kind in KINDS.names else written


def _section(value: Any, context: FileContext | None) -> tuple[type[TierModel], dict[str, Any]]:
    """The section of a model's kind, and the mapping to read, for which a word may stand."""
    data = _mapping(value, context)
    kind = str(data["kind"])
    return (ExternalModel if external(kind) else _section_of(kind)), data


def _mapping(value: Any, context: FileContext | None) -> dict[str, Any]:
    """The mapping that a word stands for: ``embedded/RUNG``, ``recorded/FILE``, a directory or a hub name."""
    if isinstance(value, dict):
        if "kind" not in value:
            raise mistake(f"is missing; it may be {', '.join(_kinds())} or FILE.py:CLASS", "kind")
        kind = str(value["kind"])
        if kind in _kinds():
            return value
        if found := find_external(kind, context, "kind"):
            return {**value, "kind": found}
        raise mistake(f"no kind of model {kind!r}; {nearest(kind, [*_kinds(), 'FILE.py:CLASS'])}", "kind")
    if not isinstance(value, str):
        raise _no_model(value)
    if found := find_external(value, context):
        return {"kind": found}
    head, _, rest = value.partition("/")
    if head == "embedded":
        return {"kind": "embedded", "rung": rest}
    if head == "recorded":
        return {"kind": "recorded", "path": rest}
    if head == "openai":
        raise mistake(
            f"{value!r} does not say where the engine is; "
            f"write {{kind: openai, url: http://HOST:PORT/v1, model: {rest or 'MODEL'}}}, "
            f"or {{kind: transformers, hub: {value}}} for the hub's"
        )
    return _checkpoint(value, head, context)


def _checkpoint(value: str, head: str, context: FileContext | None) -> dict[str, str]:
    if value.startswith(("/", "./", "../", "~")):
        return {"kind": "transformers", "path": value}
    folders = (context.folder, Path.cwd()) if context else ()
    if any(_is(Path.is_dir, folder / value) for folder in folders):
        return {"kind": "transformers", "path": value}
    if close := difflib.get_close_matches(head, ("embedded", "recorded"), n=1):
        raise _no_model(value, f" (did you mean {close[0]}/…?)")
    if "/" not in value or not _HUB_NAME.fullmatch(value):  # a bare word is more often a slip
        raise _no_model(value)
    return {"kind": "transformers", "hub": value}


def _is(kind: Callable[[Path], bool], path: Path) -> bool:
    """Whether a path is there and of that kind; a name that is too long is nobody's."""
    try:
        return kind(path)
    except OSError:
        return False


def _no_model(value: object, hint: str = "") -> PydanticCustomError:
    return mistake(
        f"no model {value!r}{hint}; write embedded/RUNG, a checkpoint directory, a hub's ORGANISATION/MODEL, "
        "recorded/FILE or a mapping with kind"
    )


AnyModel = Annotated[SerializeAsAny[TierModel], chosen(_section)]
"""The ``model:`` of a tier."""
