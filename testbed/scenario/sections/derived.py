"""Sections whose keys are the parameters of a class of the tiers: a policy's, or a model's."""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Mapping
from types import NoneType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, Field, create_model

from testbed.scenario.reading.mistakes import mistake
from testbed.scenario.reading.units import parse_time_ms, parse_time_s, write_time_ms, write_time_s
from testbed.scenario.sections.section import FOUND_FILE, Section, chosen, quantity, written
from tiers.parameters import File, Internal, Like, Range, alternatives, is_mapping, mark, parameters, unpack

SectionType = TypeVar("SectionType", bound=Section)
_STRICT = Field(strict=True, allow_inf_nan=False)
_UNITS = {"_s": (parse_time_s, write_time_s, 1.0), "_ms": (parse_time_ms, write_time_ms, 1000.0)}
"""By the unit at the end of a parameter's name, how it is read and written, and how many are a second."""


@functools.cache
def section_of(
    made: type[Any], base: type[SectionType], *, defaults: bool, without: tuple[str, ...] = ()
) -> type[SectionType]:
    """A section with the keys of ``base`` and one for each parameter of a class's constructor.

    A parameter whose name ends with a unit of time has a key without it, and a value with one.

    Args:
        made: the class.
        defaults: whether a key that is not given gets the constructor's default. It gets ``None`` otherwise,
            which leaves the default to the class.
        without: parameters that are no keys.
    """
    fields: dict[str, Any] = {
        name: _field(parameter, defaults)
        for name, parameter in parameters(made).items()
        if name not in base.model_fields and name not in without and mark(parameter, Internal) is None
    }
    return create_model(made.__name__, __base__=base, __doc__=made.__doc__, **fields)


def _field(parameter: inspect.Parameter, defaults: bool) -> tuple[Any, Any]:
    """A parameter's type and field in a section."""
    key, kind = _keyed(parameter)
    if parameter.default is parameter.empty:
        return kind, Field(validation_alias=key)
    default = parameter.default if defaults else None
    return kind if default is not None else kind | None, Field(default=default, validation_alias=key)


def _keyed(parameter: inspect.Parameter) -> tuple[str | None, Any]:
    """A parameter's key, where it is not its name, and its type."""
    for unit, (parse, write, per_second) in _UNITS.items():
        if parameter.name.endswith(unit):
            bounds = mark(parameter, Range) or Range(0)
            least, most = (_written(bound / per_second) for bound in (bounds.least, bounds.most))
            kind = Annotated[float, _within(bounds), quantity(parse, least, most), written(write)]
            return parameter.name.removesuffix(unit), kind
    return None, Any if parameter.annotation is parameter.empty else _type(parameter.annotation)


def _written(seconds: float) -> str | None:
    """A time as a person writes it; ``None`` for one without end."""
    if seconds == math.inf:
        return None
    if seconds >= 60 and seconds % 60 == 0:
        return f"{seconds / 60:g}min"
    return f"{seconds:g}s" if seconds >= 1 else f"{seconds * 1000:g}ms"


def _type(kind: Any) -> Any:
    """A parameter's type as a section's: numbers of just that type, and bounds that are checked."""
    if len(parts := alternatives(kind)) > 1:
        types = [_type(part) for part in parts]
        mappings = [found for part, found in zip(parts, types, strict=True) if is_mapping(part)]
        others: Any = Union[tuple(found for found in types if found not in mappings)]  # noqa: UP007
        if not mappings:
            return others

        def others_take(value: Any) -> bool:
            return value is None if others is NoneType else not isinstance(value, dict)

        # By its look, so that a mistake is told of the one that was meant.
        return Annotated[
            Union[others, mappings[0]],  # noqa: UP007
            chosen(lambda value, _: (others if others_take(value) else mappings[0], value)),
        ]
    base, marks = unpack(kind)
    if get_origin(base) is Mapping:
        base = dict[str, _type(get_args(base)[1])]  # type: ignore[misc]
    elif base in (int, float, bool):
        base = Annotated[base, _STRICT if base is float else Field(strict=True)]
    for bound in marks:
        if isinstance(bound, Range):
            base = Annotated[base, _within(bound)]
        elif isinstance(bound, Like):
            base = Annotated[base, _matches(bound)]
        elif isinstance(bound, File):
            base = Annotated[base, FOUND_FILE]
    return base


def _within(bounds: Range) -> Any:
    return Field(ge=bounds.least, le=None if bounds.most == math.inf else bounds.most)


def _matches(like: Like) -> AfterValidator:
    def validate(value: str) -> str:
        if not re.fullmatch(like.pattern, value):
            raise mistake(f"must be {like.words}, not {value!r}")
        return value

    return AfterValidator(validate)
