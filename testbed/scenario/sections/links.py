"""A scenario's link entry: figures for both directions, for one of them, or by the name of a profile."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import Field, PlainValidator, ValidationInfo, model_validator

from testbed.scenario.reading.mistakes import mistake, nearest
from testbed.scenario.sections.link_figures import DelayMs, JitterMs, Loss, shape_fields
from testbed.scenario.sections.profiles import PROFILES
from testbed.scenario.sections.section import NameLike, RateBps, Section, ShareOfOne, one_of
from testbed.scenario.topology import DIRECTIONS, Direction

LinkName = Annotated[str, NameLike(r"[A-Za-z][A-Za-z0-9_-]{0,31}", "letters, digits, - and _, at most 32")]
MAX_QUEUE_FRAMES = 1_000_000
MAX_QUEUE_BDP = 100
_BDP = re.compile(r"\s*(\d{1,3}(?:\.\d{1,6})?)\s*bdp\s*", re.IGNORECASE)


def _queue(value: Any) -> int | str:
    """Frames, or a multiple of the bandwidth-delay product as ``<number>bdp``."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_QUEUE_FRAMES:
        return value
    match = _BDP.fullmatch(value) if isinstance(value, str) else None
    if match and 0 < float(match[1]) <= MAX_QUEUE_BDP:
        return f"{float(match[1]):g}bdp"
    raise mistake(
        f"{value!r} is no queue; write frames, 1 to {MAX_QUEUE_FRAMES}, or a multiple of the "
        f"bandwidth-delay product such as 2bdp, up to {MAX_QUEUE_BDP}bdp"
    )


_FRAMES = Annotated[int, Field(ge=1, le=MAX_QUEUE_FRAMES)]
_BDPS = Annotated[str, Field(pattern=r"^\s*\d+(\.\d+)?\s*[bB][dD][pP]\s*$")]
Queue = Annotated[int | str, PlainValidator(_queue, json_schema_input_type=_FRAMES | _BDPS)]


class WireFigures(Section):
    """Figures that a direction of a link may be given, but for its queue; ``None`` where it is not."""

    rate_bps: RateBps | None = Field(default=None, validation_alias="rate")
    delay_ms: DelayMs | None = Field(default=None, validation_alias="delay")
    jitter_ms: JitterMs | None = Field(default=None, validation_alias="jitter")
    loss: Loss | None = None
    duplicate: ShareOfOne | None = None
    reorder: ShareOfOne | None = None


class Figures(WireFigures):
    """What a direction has of its own; ``None`` where it has what the entry has."""

    queue: Queue | None = None


_KEYS = {str(field.validation_alias or name): name for name, field in Figures.model_fields.items()}
"""By key in a scenario, the field's name, which is its key in a manifest."""


class LinkEntry(Section):
    """The shape of every link between two neighbouring tiers.

    Its figures hold in each direction, where ``up`` or ``down`` has none of its own. ``rate_bps`` of ``None``
    is unlimited; ``queue`` is in frames or like ``2bdp``, and ``None`` one bandwidth-delay product and 100
    frames at least (:func:`testbed.scenario.topology.queue_frames`); ``delay_ms`` is one way. The figures of
    a ``profile`` stand in ``up`` and ``down`` once the entry is loaded, but for those that the entry gives
    itself; so a manifest holds them. ``shared``: one link for all children of a parent, instead of one for
    each.
    """

    name: LinkName
    between: Annotated[tuple[str, ...], Field(min_length=2, max_length=2)]
    profile: Annotated[str, one_of(PROFILES)] | None = None
    shared: Annotated[bool, Field(strict=True)] = False
    rate_bps: RateBps | None = Field(default=None, validation_alias="rate")
    delay_ms: DelayMs = Field(default=0.0, validation_alias="delay")
    jitter_ms: JitterMs = Field(default=0.0, validation_alias="jitter")
    loss: Loss = 0.0
    duplicate: ShareOfOne = 0.0
    reorder: ShareOfOne = 0.0
    queue: Queue | None = None
    up: Figures | None = None
    down: Figures | None = None

    @property
    def unwritten(self) -> set[str]:
        """Figures that both directions have of their own, as they do under a profile."""
        given = [
            set() if way is None else {k for k, v in way if v is not None} for way in (self.up, self.down)
        ]
        return given[0] & given[1]

    def figure(self, direction: Direction, name: str) -> Any:
        """The value of a field in ``direction``."""
        value = getattr(self.up if direction == "up" else self.down, name, None)
        return getattr(self, name) if value is None else value

    def shape_fields(self, direction: Direction) -> dict[str, Any]:
        """All figures in ``direction`` but the queue, by the names that a :class:`Shape` has for them."""
        return shape_fields({name: self.figure(direction, name) for name in WireFigures.model_fields})

    def where(self, direction: Direction, name: str) -> str:
        """Path, in a scenario, of the key that gives a figure."""
        value = getattr(self.up if direction == "up" else self.down, name, None)
        key = type(self).model_fields[name].validation_alias or name
        return f"links.{self.name}." + ("" if value is None else f"{direction}.") + str(key)

    @model_validator(mode="before")
    @classmethod
    def _resolved(cls, data: Any, info: ValidationInfo) -> Any:
        if not isinstance(data, dict):
            return data
        given = {way: {} if data.get(way) is None else data[way] for way in DIRECTIONS}
        if not all(isinstance(figures, dict) for figures in given.values()):
            return data  # which is refused for its type
        if info.context:
            for key in _KEYS:
                if key in data and all(key in figures for figures in given.values()):
                    raise mistake("has no effect, since up and down both give their own; remove one", key)
        if not isinstance(profile := data.get("profile"), str):
            return data
        if profile not in PROFILES:
            raise mistake(f"no profile {profile!r}; {nearest(profile, PROFILES)}", "profile")
        return data | {
            way: {
                key: value
                for key, value in PROFILES[profile].figures(way).items()
                if not (data.keys() | given[way].keys()) & {key, _KEYS[key]}
            }
            | given[way]
            for way in DIRECTIONS
        }
