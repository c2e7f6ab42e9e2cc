"""Keep or offload: one class for each method (arXiv:2505.16502).

A policy sees confidences only. It is made anew, on every node, at the start of a method, and asked by
one thread at a time, in the order of inference. The top tier is not asked: it always keeps. To add a
method, derive from :class:`Policy` here and register it, or do so in a file of your own and name it
``file.py:Class`` in the scenario.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiers.errors import ConfigError
from tiers.plugins import is_external, load_class
from tiers.window import SlidingWindow

COMMON_PARAMETERS = frozenset({"policy", "beta", "window", "thresholds", "seed"})
"""What a scenario's method may always carry; a policy takes those that its constructor names."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node stands: its tier among all tiers, lowest first."""

    node: str
    tier: str
    tiers: tuple[str, ...]

    @property
    def level(self) -> int:
        return self.tiers.index(self.tier)

    @property
    def is_top(self) -> bool:
        return self.tier == self.tiers[-1]


@dataclass(frozen=True, slots=True)
class Decision:
    """Keep or offload, and all that an audit needs to find the same again.

    ``window_seq`` is the position, from 0, in which the confidence entered this node's window;
    ``window_length`` the number of values in it, this one included. All three are ``None`` where the
    policy has no such thing.
    """

    keep: bool
    threshold: float | None = None
    window_seq: int | None = None
    window_length: int | None = None


KEEP = Decision(keep=True)


class Policy(ABC):
    """One node's rule under one method. Its constructor takes ``place`` and its parameters by name."""

    def __init__(self, place: Place) -> None:
        self.place = place

    @property
    def infers(self) -> bool:
        """Whether this node answers at all; one that does not passes requests on untouched."""
        return True

    @abstractmethod
    def decide(self, confidence: float) -> Decision:
        """Say whether the answer of that confidence, in [0, 1], stays here."""


class SingleTier(Policy):
    """Every request is answered by one tier; nodes below relay (``device-only``, ``cloud-only``, …)."""

    def __init__(self, place: Place, *, tier: str) -> None:
        super().__init__(place)
        if tier not in place.tiers:
            raise ConfigError(f"policy {tier}-only: no tier {tier}; there are {', '.join(place.tiers)}")
        self._below = place.level < place.tiers.index(tier)

    @property
    def infers(self) -> bool:
        return not self._below

    def decide(self, confidence: float) -> Decision:
        return KEEP


class CasServe(Policy):
    """A cascade with fixed thresholds tuned by hand, one for each tier below the top."""

    def __init__(self, place: Place, *, thresholds: Mapping[str, float]) -> None:
        super().__init__(place)
        value = thresholds.get(place.tier)
        if value is None and not place.is_top:
            raise ConfigError(f"casserve: thresholds has none for tier {place.tier}; add one in [0, 1]")
        self._threshold = 0.0 if value is None else _number("casserve: thresholds", value, 0.0, 1.0)

    def decide(self, confidence: float) -> Decision:
        return Decision(keep=not confidence < self._threshold, threshold=self._threshold)


class RecServe(Policy):
    """Recursive offloading: the threshold is the β-quantile of the node's last confidences.

    The current confidence enters the window before the threshold is computed; with fewer than two
    values nothing is offloaded; only what is strictly below the threshold goes up.
    """

    def __init__(self, place: Place, *, beta: float = 0.3, window: int = 10_000) -> None:
        super().__init__(place)
        self._beta = _number("recserve: beta", beta, 0.0, 1.0)
        if isinstance(window, bool) or not isinstance(window, int) or window < 1:
            raise ConfigError(f"recserve: window must be a whole number of at least 1, not {window!r}")
        self._window = SlidingWindow(window)
        self._seen = 0

    def decide(self, confidence: float) -> Decision:
        self._window.append(confidence)
        seq, self._seen = self._seen, self._seen + 1
        length = len(self._window)
        if length < 2:
            return Decision(True, None, seq, length)
        threshold = self._window.quantile(self._beta)
        return Decision(not confidence < threshold, threshold, seq, length)


REGISTRY: dict[str, type[Policy]] = {"casserve": CasServe, "recserve": RecServe}


def make_policy(spec: Mapping[str, Any], place: Place, plugins: Sequence[str] = ()) -> Policy:
    """The policy of ``spec`` for a node.

    Args:
        spec: ``{"policy": NAME, parameter: value, …}``; NAME is registered, ``<tier>-only``, or
            ``file.py:Class``. Values of ``None`` count as not given.
        place: the node.
        plugins: directories in which files of plug-ins are looked for.

    Raises:
        ConfigError: no such policy, or parameters that it does not take.
    """
    name = spec.get("policy")
    if not isinstance(name, str) or not name:
        raise ConfigError("a method needs the name of its policy, such as recserve")
    given = {key: value for key, value in spec.items() if key != "policy" and value is not None}
    made: Callable[..., Policy]
    if is_external(name):
        made = load_class(name, Policy, plugins)
    elif name in REGISTRY:
        made = REGISTRY[name]
    elif name.endswith("-only"):
        made, given = SingleTier, {**given, "tier": name.removesuffix("-only")}
    else:
        known = ", ".join([*sorted(REGISTRY), *(f"{tier}-only" for tier in place.tiers)])
        raise ConfigError(f"no policy {name!r}; known are {known}, or file.py:Class")
    return _construct(name, made, place, given)


def _construct(name: str, made: Callable[..., Policy], place: Place, given: Mapping[str, Any]) -> Policy:
    parameters = inspect.signature(made).parameters
    takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    unknown = set(given) - set(parameters) - COMMON_PARAMETERS
    if unknown and not takes_all:
        raise ConfigError(f"policy {name} takes no {', '.join(sorted(unknown))}")
    accepted = {key: value for key, value in given.items() if takes_all or key in parameters}
    try:
        return made(place, **accepted)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"policy {name}: {error}") from error


def _number(what: str, value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ConfigError(f"{what} must be a number in [{low:g}, {high:g}], not {value!r}")
    return float(value)
