"""What a scenario's sections have in common: strict keys, quantities with units, one-sentence mistakes."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapSerializer,
    WrapValidator,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from testbed.errors import TestbedError
from testbed.host.places import unfit_beside, unfit_file, unfit_folder
from testbed.host.processes.signals import undisturbed
from testbed.scenario.reading.mistakes import mistake, nearest
from testbed.scenario.reading.units import (
    parse_memory_bytes,
    parse_rate_bps,
    parse_share,
    parse_time_ms,
    parse_time_s,
    write_memory,
    write_rate,
    write_share,
    write_time_ms,
    write_time_s,
    written_like,
)
from tiers.plugins import external

LEAST_RATE, MOST_RATE = "1kbit", "100gbit"
MAX_PLUGIN_BYTES = 4 << 20


@dataclass(frozen=True)
class FileContext:
    """Validation context of a scenario that a person wrote; without it, a manifest's is being loaded.

    In a person's file a quantity must have a unit, keys are without it (``rate``, not ``rate_bps``), and
    paths are relative to ``folder`` or else to the working directory. ``emulated``: its network is to be
    brought up, and so must fit one machine.
    """

    folder: Path
    emulated: bool = True


AS_A_PERSON = "as a person"
"""Context of ``model_dump``: keys and quantities are written as :class:`FileContext` reads them."""


class Section(BaseModel):
    """A mapping of a scenario: frozen, and no key but its own."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_by_name=True, validate_by_alias=True, allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _only_known_keys(cls, data: Any, info: ValidationInfo) -> Any:
        if isinstance(data, cls):
            return data
        keys = [str(field.validation_alias or name) for name, field in cls.model_fields.items()]
        if not isinstance(data, dict):
            raise mistake(f"must be a mapping of {', '.join(keys)}")
        if cls.model_config["extra"] != "forbid":
            return data
        known = set(keys) if info.context else {*keys, *cls.model_fields}
        for key in data:
            if key not in known:
                raise mistake(f"unknown key; {nearest(str(key), keys)}", str(key))
        return data

    def model_dump(self, *args: Any, **options: Any) -> dict[str, Any]:
        """As pydantic's; signals wait, for it makes an error of its own of a KeyboardInterrupt."""
        with undisturbed():
            return super().model_dump(*args, **options)

    def model_dump_json(self, *args: Any, **options: Any) -> str:
        """As pydantic's; signals wait, as in :meth:`model_dump`."""
        with undisturbed():
            return super().model_dump_json(*args, **options)

    @property
    def unwritten(self) -> Collection[str]:
        """Fields that a person may not give, since they follow from others."""
        return ()

    @model_serializer(mode="wrap")
    def _serialised(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        if info.context != AS_A_PERSON:
            return values
        fields, left_out = type(self).model_fields, self.unwritten
        return {
            str(fields[name].validation_alias or name) if name in fields else name: value
            for name, value in values.items()
            if name not in fields or not (value is None or value == () or name in left_out)
        }


def chosen(choose: Callable[[Any, FileContext | None], tuple[Any, Any]], any_of: Any = None) -> WrapValidator:
    """A value whose type depends on what stands there.

    Args:
        choose: gets the value and the validation's context. It returns the type, and the value that is to be
            validated as that type.
        any_of: the types that it may return, for the JSON Schema, where the field's own does not say.
    """

    def validate(value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        if isinstance(value, Section):
            return handler(value)
        kind, value = choose(value, info.context)
        return _adapter(kind).validate_python(value, context=info.context)

    return (
        WrapValidator(validate) if any_of is None else WrapValidator(validate, json_schema_input_type=any_of)
    )


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def quantity(
    parse: Callable[[object], float], low: str | None = None, high: str | None = None
) -> BeforeValidator:
    """A number that a person writes with its unit, from ``low`` to ``high``, and a manifest without."""

    def validate(value: Any, info: ValidationInfo) -> Any:
        if info.context is None and isinstance(value, int | float) and not isinstance(value, bool):
            return value
        try:
            number = parse(value)
        except TestbedError as error:
            raise mistake(str(error)) from None
        if low is not None and number < parse(low):
            raise mistake(f"{value!r} is too little; it must be at least {low}")
        if high is not None and number > parse(high):
            raise mistake(f"{value!r} is too much; it may be {high} at most")
        return number

    pattern, examples = written_like(parse)
    text = Annotated[str, Field(pattern=pattern, description=examples)]
    return BeforeValidator(validate, json_schema_input_type=text)


def written(write: Callable[[Any], str]) -> WrapSerializer:
    """How a person writes a number with its unit (:data:`AS_A_PERSON`)."""

    def serialise(value: Any, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> Any:
        is_number = isinstance(value, int | float)  # and no section that says more, nor nothing
        return write(value) if is_number and info.context == AS_A_PERSON else handler(value)

    return WrapSerializer(serialise)


RateBps = Annotated[
    int, Field(strict=True, ge=1), quantity(parse_rate_bps, LEAST_RATE, MOST_RATE), written(write_rate)
]
TimeMs = Annotated[float, Field(ge=0), quantity(parse_time_ms, high="60s"), written(write_time_ms)]
WaitMs = Annotated[float, Field(ge=0), quantity(parse_time_ms, high="1s"), written(write_time_ms)]
ShareOfOne = Annotated[float, Field(ge=0, le=1), quantity(parse_share), written(write_share)]
ThinkS = Annotated[float, Field(ge=0), quantity(parse_time_s, high="60min"), written(write_time_s)]
DeadlineS = Annotated[float, Field(gt=0), quantity(parse_time_s, "1ms", "60min"), written(write_time_s)]
MomentS = Annotated[float, Field(ge=0), quantity(parse_time_s, high="1440min"), written(write_time_s)]
# Docker itself refuses containers of less than 6 MiB.
MemoryBytes = Annotated[
    int, Field(strict=True, ge=1), quantity(parse_memory_bytes, "6MiB", "16TiB"), written(write_memory)
]
Count = Annotated[int, Field(strict=True, ge=1)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


def find_external(name: str, context: FileContext | None, field: str = "") -> str | None:
    """``FILE.py:CLASS`` with the file's absolute path; ``None`` for any other name."""
    place = external(name)
    if place is None or not place.is_file:
        return None
    found = find_file(place.where, context, field)
    if context is not None:
        _check_plugin(place.where, Path(found), field)
    return f"{found}:{place.class_name}"


def _check_plugin(value: str, found: Path, field: str) -> None:
    """A class's file has a name and a size that one has; what it learnt, beside it, is a file too."""
    if found.suffix != ".py":
        raise mistake(f"{value!r} leads to {found}, whose name does not end with .py; rename that", field)
    if (size := found.stat().st_size) > MAX_PLUGIN_BYTES:
        most = MAX_PLUGIN_BYTES >> 20
        raise mistake(f"{value!r} has {size >> 20} MiB, and a class's file {most} at most; cut it", field)
    beside = found.with_suffix(".json")
    if beside.exists() and (unfit := unfit_beside(beside)):
        raise mistake(f"{beside}, which its class is given, {unfit}; remove or replace it", field)


@dataclass(frozen=True)
class NameLike:
    """A name that matches ``pattern`` as a whole; ``words`` say the same to people."""

    pattern: str
    words: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(schema) | {"pattern": f"^{self.pattern}$"}

    def _checked(self, value: str) -> str:
        if not re.fullmatch(self.pattern, value, re.ASCII):
            raise mistake(f"{value!r} is no name here; use {self.words}")
        return value


def one_of(names: Iterable[str], *patterns: str) -> WithJsonSchema:
    """What the JSON Schema says of a text that a validator looks up: a name, or like one of the patterns."""
    likes = [{"type": "string", "pattern": pattern} for pattern in patterns]
    known = {"type": "string", "enum": list(names)}
    return WithJsonSchema({"anyOf": [known, *likes]} if likes else known)


CLASS_IN_FILE = r"\.py:"
"""In JSON Schema, a class in a file of the user's."""


def find_path(value: str, context: FileContext | None, field: str = "") -> str:
    """Absolute path of a file or a directory that a scenario names.

    It is looked for beside the scenario and then in the working directory, and is resolved: what it leads to
    must be a regular file of a disk, or a directory that is not the system's. Without a context the path
    stands as it is: a manifest must load on a host that lacks the file.
    """
    return value if context is None else str(_find(value, context, field))


def find_file(value: str, context: FileContext | None, field: str = "") -> str:
    """The same of a file alone."""
    return value if context is None else str(_find(value, context, field, file=True))


def _find(value: str, context: FileContext, field: str, *, file: bool = False) -> Path:
    for folder in (context.folder, Path.cwd()):
        try:
            found = (folder / Path(value).expanduser()).resolve()
            unfit = unfit_folder(found) if found.is_dir() and not file else unfit_file(found)
        except FileNotFoundError:
            continue
        except (OSError, RuntimeError, ValueError) as error:  # too long; nobody's home; a NUL
            reason = str(error.strerror if isinstance(error, OSError) else error).rstrip(".")
            raise mistake(f"{value!r} is no path here ({reason}); name a file that is there", field) from None
        if unfit:
            called = f"{value!r}" if str(found) == value else f"{value!r}, which leads to {found},"
            raise mistake(f"{called} {unfit}; name a file{'' if file else ' or a directory'} of yours", field)
        return found
    if value.startswith("~"):
        whole = Path(value).expanduser()
        raise mistake(
            f"no such file or directory {value!r}: here it is {whole} (root's, under sudo); write the path",
            field,
        )
    raise mistake(
        f"no such file or directory {value!r}, neither beside the scenario nor in {Path.cwd()}", field
    )


def _found(path: str, info: ValidationInfo) -> str:
    return find_path(path, info.context)


def _found_file(path: str, info: ValidationInfo) -> str:
    return find_file(path, info.context)


HostPath = Annotated[str, AfterValidator(_found)]
"""A file or a directory that a scenario names; its absolute path once it is loaded."""
FOUND_FILE = AfterValidator(_found_file)
HostFile = Annotated[str, FOUND_FILE]
"""The same of a file alone."""
