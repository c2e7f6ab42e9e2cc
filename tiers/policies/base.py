"""What a policy is, and how one is found by name.

A policy sees confidences only. It is made anew, on every node, at the start of a method, and asked by
one thread at a time, in the order of inference. The top tier is not asked: it always keeps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiers.errors import ConfigError
from tiers.parameters import construct
from tiers.variants import Variants

SEED = "seed"
"""A parameter that every method is given: the run's seed. A policy takes it if its constructor names it."""
_ONLY = "-only"


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


POLICIES: Variants[Policy] = Variants("policy", "tiers.policies", Policy, besides=["tier_only"])


def tier_of(name: str) -> str | None:
    """The tier in a policy's name ``<tier>-only``; ``None`` for any other name."""
    return name.removesuffix(_ONLY) if name.endswith(_ONLY) else None


def find_policy(name: str, plugins: Sequence[str] = ()) -> type[Policy]:
    """The class of a policy: one of :data:`POLICIES`, ``<tier>-only``, or ``file.py:Class``.

    Raises:
        ConfigError: there is none.
    """
    return POLICIES.find(name, plugins) if tier_of(name) is None else POLICIES.of_module("tier_only")


def make_policy(spec: Mapping[str, Any], place: Place, plugins: Sequence[str] = ()) -> Policy:
    """The policy of ``spec`` for a node.

    Args:
        spec: ``{"policy": NAME, parameter: value, …}``, with a name that :func:`find_policy` knows. Values
            of ``None`` count as not given.
        place: the node.
        plugins: directories in which files of plug-ins are looked for.

    Raises:
        ConfigError: no such policy, or parameters that it does not take.
    """
    name = spec.get("policy")
    if not isinstance(name, str) or not name:
        raise ConfigError("a method needs the name of its policy, such as recserve")
    made = find_policy(name, plugins)
    given = {key: value for key, value in spec.items() if key != "policy"}
    if (tier := tier_of(name)) is not None:
        given["tier"] = tier
    return construct(f"policy {name}", made, place, given, spare=[SEED])
