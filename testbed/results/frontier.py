"""Quality against burden: a curve for each method, and what one has over another at equal bytes or quality.

A *curve* is a method at several of its settings, its *operating points*, over the same requests. A burden
here is a share of what cloud-only sends: prompt bytes on all links over cloud-only's, of the requests that
both answered. Requests without an answer count as wrong, as everywhere.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal

from testbed.results.measures import Floats, Measure
from testbed.results.statistics import Estimate, Interval, interval_to_json

SHARES = (0.1, 0.2, 0.4)
"""Burdens at which methods are compared."""
LEAST_POINTS = 7
"""Of a curve; with fewer it is drawn and compared all the same, and it is said."""
Kind = Literal["quality", "bytes"]


@dataclass(frozen=True)
class OperatingPoint:
    """A method at one setting, request by request.

    Attributes:
        label: the setting, in words.
        counts: what the measure counts of each answer, of the shape (requests, counts).
        prompt_bytes: on all links, of each request; 0 unless cloud-only answered it, too.
        cloud_bytes: cloud-only's of the same request; 0 where ``prompt_bytes`` is for want of an answer.
    """

    label: str
    counts: Floats
    prompt_bytes: Floats
    cloud_bytes: Floats


@dataclass(frozen=True)
class Curve:
    """The operating points of a method, in any order; of a method without settings there is one."""

    method: str
    points: Sequence[OperatingPoint]


@dataclass(frozen=True)
class Asked:
    """What a frontier is made of.

    Attributes:
        measure: how answers are scored.
        heading: the score's name in a table.
        decimals: of the score.
        prompts: of each request, in the order of the points' rows, which prompt it asks; sortable.
        curves: of the methods; those of one point are drawn, and not compared.
        ends: the methods between which requests may be dealt by lot: that of no burden, and cloud-only.
        condition: what was alike for all, as ``key: value``.
        seeds: of the traces.
        notes: sentences for the reader.
    """

    measure: Measure
    heading: str
    decimals: int
    prompts: Sequence[Hashable]
    curves: Sequence[Curve]
    ends: tuple[str, str] | None = None
    condition: Mapping[str, str] = field(default_factory=dict)
    seeds: Sequence[int] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Placed:
    """An operating point's figures; ``prompt_bytes`` over all requests that cloud-only answered, too."""

    label: str
    quality: Estimate
    burden: Estimate
    prompt_bytes: float


@dataclass(frozen=True)
class PlacedCurve:
    """A method's points by burden; ``by_lot``: it is no method, but requests dealt to two by lot."""

    method: str
    points: Sequence[Placed]
    by_lot: bool = False


@dataclass(frozen=True)
class QualityAt:
    """A method's quality at a share of cloud-only's bytes; ``None`` for a reason."""

    method: str
    share: float
    quality: Estimate | None
    why: str | None = None


@dataclass(frozen=True)
class Difference:
    """The second method less the first, at a share of cloud-only's bytes.

    Attributes:
        kind: ``quality``: of quality, at that share. ``bytes``: of the least shares at which each has the
            quality that the first has there.
        values: of the first and of the second.
        difference: ``None`` for a reason, as are the rest then; and these are of fewer than 10 prompts, too.
        interval: of 95 % confidence, by itself; an end may be infinite. ``None`` where no resample differs.
        together: one that holds together with those of all other lines.
        p_value: of no difference.
        adjusted_p: the same for as many lines as there are (Holm).
    """

    kind: Kind
    first: str
    second: str
    share: float
    values: tuple[float, float] | None = None
    difference: float | None = None
    interval: Interval | None = None
    together: Interval | None = None
    p_value: float | None = None
    adjusted_p: float | None = None
    why: str | None = None


@dataclass(frozen=True)
class Frontier:
    """Curves over the same requests, and all that was compared of them together."""

    heading: str
    decimals: int
    condition: Mapping[str, str]
    requests: int
    prompts: int
    seeds: Sequence[int]
    curves: Sequence[PlacedCurve]
    at: Sequence[QualityAt]
    differences: Sequence[Difference]
    notes: Sequence[str]


@dataclass(frozen=True)
class Frontiers:
    """All frontiers of a sweep or a what-if, one for each condition; ``notes`` say what was left out."""

    frontiers: Sequence[Frontier]
    notes: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """All of it for a JSON file; an estimate is its value and its interval, an infinite end is null."""
        made: dict[str, Any] = _to_json(self)
        return made


def _to_json(value: Any) -> Any:
    if isinstance(value, Interval):
        return interval_to_json(value)
    if isinstance(value, Estimate):
        return {key: _to_json(entry) for key, entry in value._asdict().items()}
    if is_dataclass(value):
        return {each.name: _to_json(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_to_json(entry) for entry in value]
    return value
