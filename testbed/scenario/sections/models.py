"""Which model a tier serves: one class for each kind, written as a mapping or, mostly, as a word."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from testbed.host.embedded.ladder import RUNGS
from testbed.scenario.reading.mistakes import mistake, nearest
from testbed.scenario.sections.section import (
    Count,
    DeadlineS,
    FileContext,
    Number,
    Section,
    TimeMs,
    external_class,
    find_file,
)
from tiers.confidence import REGISTRY as CONFIDENCES

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


class _Model(Section):
    """``confidence`` names what is computed from the model's output, where its task's own will not do."""

    confidence: str | None = None

    @field_validator("confidence")
    @classmethod
    def _known_confidence(cls, confidence: str | None, info: ValidationInfo) -> str | None:
        if confidence is None or confidence in CONFIDENCES:
            return confidence
        if found := external_class(confidence, info.context):
            return found
        raise mistake(f"no confidence {confidence!r}; {nearest(confidence, [*CONFIDENCES, 'FILE.py:CLASS'])}")

    @property
    def options(self) -> dict[str, Any]:
        """What the tier's configuration says of the model beside its kind; paths are the host's."""
        return self.model_dump(mode="json", exclude={"kind"}, exclude_none=True)


class EmbeddedModel(_Model):
    """A rung of the embedded ladder, which needs no model hub: ``embedded/device``."""

    kind: Literal["embedded"]
    rung: str

    @field_validator("rung")
    @classmethod
    def _known(cls, rung: str) -> str:
        if rung not in RUNGS:
            raise mistake(f"no embedded model {rung!r}; {nearest(rung, RUNGS)}")
        return rung


class TransformersModel(_Model):
    """A checkpoint that Transformers opens: a directory (``path``) or a name on the ``hub``.

    Prompts are cut at ``max_tokens`` inside the model; ``max_new_tokens`` bounds what a generator produces.
    """

    kind: Literal["transformers"]
    path: str | None = None
    hub: str | None = None
    max_tokens: Count | None = None
    max_new_tokens: Count | None = None

    @field_validator("path")
    @classmethod
    def _checkpoint(cls, path: str | None, info: ValidationInfo) -> str | None:
        if path is None or info.context is None:
            return path
        found = find_file(path, info.context)
        if not (Path(found) / "config.json").is_file():
            raise mistake(f"{found} is no Transformers checkpoint directory; it must hold a config.json")
        return found

    @field_validator("hub")
    @classmethod
    def _hub_name(cls, hub: str | None) -> str | None:
        if hub is not None and not _HUB_NAME.fullmatch(hub):
            raise mistake(f"{hub!r} is no name of a model hub; write it like organisation/model")
        return hub

    @model_validator(mode="after")
    def _one_source(self) -> TransformersModel:
        if (self.path is None) == (self.hub is None):
            raise mistake("give the path of a checkpoint directory or, as hub, a model's name there")
        return self

    @property
    def options(self) -> dict[str, Any]:
        options = super().options
        if self.hub is not None:
            options["path"] = options.pop("hub")
        return options


class RecordedModel(_Model):
    """Answers of earlier inferences, from the JSON Lines file ``path``, without torch.

    A prompt that was not recorded, or every prompt where there is no file, gets an answer and a confidence
    from the hash of its text, after ``service_ms``: always, or on average if ``distribution`` is exponential.
    """

    kind: Literal["recorded"]
    path: str | None = None
    service_ms: TimeMs | None = Field(default=None, validation_alias="service")
    distribution: Literal["fixed", "exponential"] = "fixed"

    @field_validator("path")
    @classmethod
    def _recording(cls, path: str | None, info: ValidationInfo) -> str | None:
        return None if path is None else find_file(path, info.context)

    @model_validator(mode="after")
    def _some_source(self) -> RecordedModel:
        if self.path is None and self.service_ms is None:
            raise mistake("give the path of recorded inferences, a service time such as 5ms, or both")
        return self

    @property
    def options(self) -> dict[str, Any]:
        options = super().options
        service_ms, distribution = options.pop("service_ms", None), options.pop("distribution")
        if service_ms is not None:
            options["default"] = {"service_ms": service_ms, "distribution": distribution}
        return options


class OpenAIModel(_Model):
    """Another engine (vLLM, llama.cpp, …) behind the OpenAI API, asked for ``model`` at ``url``.

    ``system`` is a message before the prompt, ``params`` are more fields of the engine's request.
    ``api_key_env`` names the environment variable that holds the key: the key itself stays out of scenarios.
    """

    kind: Literal["openai"]
    url: str = Field(pattern=r"^https?://[^\s/]+(/\S*)?$")
    model: str = Field(min_length=1)
    system: str | None = None
    max_tokens: Count | None = None
    temperature: Annotated[Number, Field(ge=0)] | None = None
    timeout_s: DeadlineS | None = Field(default=None, validation_alias="timeout")
    params: dict[str, Any] | None = None
    api_key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")


class ExternalModel(_Model):
    """A model class in a file of the user's, ``FILE.py:CLASS``; its options are its own affair."""

    model_config = ConfigDict(extra="allow")

    kind: str


def _tag(value: Any) -> str:
    kind = value.get("kind") if isinstance(value, dict) else value.kind
    return f"<{kind}>" if kind in _KINDS else "<external>"


_KINDS = ("embedded", "transformers", "recorded", "openai")


def _expand(value: Any, info: ValidationInfo) -> Any:
    """The mapping that a word stands for: ``embedded/RUNG``, ``recorded/FILE``, a directory or a hub name."""
    if isinstance(value, dict):
        if "kind" not in value:
            raise mistake(f"is missing; it may be {', '.join(_KINDS)} or FILE.py:CLASS", "kind")
        kind = str(value["kind"])
        if kind in _KINDS:
            return value
        if found := external_class(kind, info.context, "kind"):
            return {**value, "kind": found}
        raise mistake(f"no kind of model {kind!r}; {nearest(kind, [*_KINDS, 'FILE.py:CLASS'])}", "kind")
    if not isinstance(value, str):
        return value if isinstance(value, Section) else _refuse(value)
    if found := external_class(value, info.context):
        return {"kind": found}
    head, _, rest = value.partition("/")
    if head == "embedded":
        if rest not in RUNGS:
            near = nearest(rest, RUNGS)
            raise mistake(f"no embedded model {rest!r}; {near}")
        return {"kind": "embedded", "rung": rest}
    if head == "recorded":
        return {"kind": "recorded", "path": rest}
    if head == "openai":
        raise mistake(
            f"{value!r} does not say where the engine is; "
            f"write {{kind: openai, url: http://HOST:PORT/v1, model: {rest or 'MODEL'}}}, "
            f"or {{kind: transformers, hub: {value}}} for the hub's"
        )
    return _checkpoint(value, head, info.context)


def _checkpoint(value: str, head: str, context: FileContext | None) -> dict[str, str]:
    if value.startswith(("/", "./", "../", "~")):
        return {"kind": "transformers", "path": value}
    folders = (context.folder, Path.cwd()) if context else ()
    if any((folder / value).is_dir() for folder in folders):
        return {"kind": "transformers", "path": value}
    if close := difflib.get_close_matches(head, ("embedded", "recorded"), n=1):
        _refuse(value, f" (did you mean {close[0]}/…?)")
    if "/" not in value or not _HUB_NAME.fullmatch(value):  # a bare word is more often a slip
        _refuse(value)
    return {"kind": "transformers", "hub": value}


def _refuse(value: object, hint: str = "") -> Any:
    raise mistake(
        f"no model {value!r}{hint}; write embedded/RUNG, a checkpoint directory, a hub's ORGANISATION/MODEL, "
        "recorded/FILE or a mapping with kind"
    )


TierModel = Annotated[
    Annotated[
        Annotated[EmbeddedModel, Tag("<embedded>")]
        | Annotated[TransformersModel, Tag("<transformers>")]
        | Annotated[RecordedModel, Tag("<recorded>")]
        | Annotated[OpenAIModel, Tag("<openai>")]
        | Annotated[ExternalModel, Tag("<external>")],
        Discriminator(_tag),
    ],
    BeforeValidator(_expand),
]
