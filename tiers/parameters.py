"""What a policy or a model may be told: the parameters of its constructor, with their types and bounds.

A scenario reads its keys from the same parameters. So a name, a default and a bound stand in the constructor
alone, as in ``def __init__(self, place, *, beta: Probability = 0.3)``.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from tiers.errors import ConfigError

Made = TypeVar("Made")
Mark = TypeVar("Mark")


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds of a number, both included."""

    least: float
    most: float = math.inf


@dataclass(frozen=True, slots=True)
class Like:
    """A text that ``pattern`` matches as a whole; ``words`` say the same to people."""

    pattern: str
    words: str


@dataclass(frozen=True, slots=True)
class File:
    """A path on the host that a scenario names; a container has it as ``inside``."""

    inside: str


@dataclass(frozen=True, slots=True)
class ByTier:
    """A mapping with one entry for each tier but the top one; ``entry`` is the word for an entry."""

    entry: str


@dataclass(frozen=True, slots=True)
class Internal:
    """Not a key of a scenario: another key of it becomes this."""


Probability = Annotated[float, Range(0, 1)]
Count = Annotated[int, Range(1)]
Shares = Probability | Annotated[Mapping[str, Probability], ByTier("share")]
"""A share for all tiers, or one for each."""


def parameters(made: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The named parameters of a class's constructor, without the first: the node's place or configuration."""
    others = list(_signature(made).parameters.values())[1:]
    return {p.name: p for p in others if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}


@cache  # what-if makes the policies of ten thousand nodes
def _signature(made: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(made, eval_str=True)
    except NameError:  # a plug-in's annotation may name what only a type checker imports
        return inspect.signature(made)


def mark(parameter: inspect.Parameter, kind: type[Mark]) -> Mark | None:
    """What a parameter's annotation says beside the type, if it is of that kind: its :class:`Range`, say."""
    marks = (mark for alternative in alternatives(parameter.annotation) for mark in unpack(alternative)[1])
    return next((mark for mark in marks if isinstance(mark, kind)), None)


def unpack(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """The type in an annotation, and what ``Annotated`` says of it."""
    if get_origin(kind) is Annotated:
        base, *marks = get_args(kind)
        return base, tuple(marks)
    return kind, ()


def alternatives(kind: Any) -> tuple[Any, ...]:
    """The types of a union; any other type alone."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def is_mapping(kind: Any) -> bool:
    """Whether a type, with what ``Annotated`` says of it, is a mapping."""
    return get_origin(unpack(kind)[0]) is Mapping


def construct(
    what: str,
    made: Callable[..., Made],
    first: object,
    given: Mapping[str, Any],
    *,
    noun: str = "",
    spare: Collection[str] = (),
) -> Made:
    """Call a constructor with ``first`` and with the parameters ``given`` that are not ``None``.

    Args:
        what: the class, in the words of an error.
        noun: what a parameter is called there, with a space after it.
        spare: parameters that are left out if the constructor does not name them.

    Raises:
        ConfigError: there is no such parameter, one is missing or out of bounds, or the constructor refuses.
    """
    known = parameters(made)
    given = {name: value for name, value in given.items() if value is not None}
    if not any(p.kind is p.VAR_KEYWORD for p in _signature(made).parameters.values()):
        given = {name: value for name, value in given.items() if name in known or name not in spare}
        if unknown := sorted(given.keys() - known.keys()):
            raise ConfigError(f"{what} takes no {noun}{', '.join(unknown)}")
    try:
        for name, value in given.items():
            if name in known:
                _check(name, value, known[name].annotation)
        return made(first, **given)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{what}: {error}") from error


def _check(name: str, value: object, kind: Any) -> None:
    """Hold a value against the bounds in its annotation, of which a type without bounds has none."""
    kinds = [alternative for alternative in alternatives(kind) if alternative is not NoneType]
    if len(kinds) > 1:
        kinds = [
            alternative for alternative in kinds if is_mapping(alternative) == isinstance(value, Mapping)
        ]
    for alternative in kinds:
        base, marks = unpack(alternative)
        if get_origin(base) is Literal and value not in get_args(base):
            raise ValueError(f"{name} must be {' or '.join(map(repr, get_args(base)))}, not {value!r}")
        for mark in marks:
            if isinstance(mark, Range):
                _check_range(name, value, base, mark)
            elif isinstance(mark, Like) and not (
                isinstance(value, str) and re.fullmatch(mark.pattern, value)
            ):
                raise ValueError(f"{name} must be {mark.words}, not {value!r}")
        if marks and get_origin(base) is Mapping:
            if not isinstance(value, Mapping):
                raise ValueError(f"{name} must be a mapping, not {value!r}")
            for entry in value.values():
                _check(name, entry, get_args(base)[1])


def _check_range(name: str, value: object, base: Any, bounds: Range) -> None:
    number = "a whole number" if base is int else "a number"
    of_type = isinstance(value, int if base is int else (int, float)) and not isinstance(value, bool)
    if of_type and bounds.least <= value <= bounds.most:  # type: ignore[operator]
        return
    within = f"of at least {bounds.least:g}"
    if bounds.most < math.inf:
        within = f"in [{bounds.least:g}, {bounds.most:g}]"
    raise ValueError(f"{name} must be {number} {within}, not {value!r}")
