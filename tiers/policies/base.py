"""What a policy is, what it may know, and how one is found by name.

A policy is made anew, on every node, at the start of a method, and asked by one thread at a time, in the
order of inference. The top tier is not asked: it always keeps. What a policy may know, its class says
(:attr:`Policy.knows`); never an answer, and nothing of another node.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeVar

from tiers import plain
from tiers.calibration import Calibration, Needs
from tiers.errors import ConfigError
from tiers.parameters import construct
from tiers.plugins import external
from tiers.variants import Variants

GIVEN = ("seed", "method")
"""What every policy is given, if its constructor names it: the run's seed, and the method's name."""
RELAY = "relay"
"""The key of a method that lists the tiers that do not infer under it."""
OPEN = ("confidence", "request_id", "prompt_bytes", "prompt")
"""What any policy may ask to know: the confidence of its node's own answer; of the request its id, the
length of its prompt, and its prompt.
"""
ANSWERS = "answers"
"""What a policy may know besides where all answers are there before the run, with recorded tiers and in
what-if: which tiers answer a request rightly.
"""
_ONLY = "-only"

Value = TypeVar("Value")


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


class Decision(NamedTuple):
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


def plain_decision(found: object) -> Decision:
    """What a policy decided, with values that JSON and a run's tables can hold.

    Raises:
        ValueError: it is no :class:`Decision`, or one of its values is not what it must be.
    """
    if not isinstance(found, Decision):
        raise ValueError(f"the policy gave a decision of type {type(found).__name__}, and no Decision")
    return Decision(
        plain.truth(found.keep, "the policy's keep"),
        plain.maybe(plain.finite, found.threshold, "the policy's threshold"),
        plain.maybe(plain.count, found.window_seq, "the policy's window_seq"),
        plain.maybe(plain.count, found.window_length, "the policy's window_length"),
    )


@dataclass(frozen=True, slots=True)
class Request:
    """What a policy may know of a request: its id, and the length of its prompt in UTF-8.

    ``prompt`` is there only for a policy that asks for it.
    """

    id: str
    prompt_bytes: int
    prompt: str | None = None


class Policy(ABC):  # noqa: B024 (make_policy sees to it that one of decide and judge is there)
    """One node's rule under one method. Its constructor takes ``place`` and its parameters by name.

    A policy has :meth:`decide`, or, if the confidence is not all that it looks at, :meth:`judge`.

    Attributes:
        knows: what it looks at, of :data:`OPEN` and :data:`ANSWERS`.
    """

    knows: ClassVar[Collection[str]] = ("confidence", "request_id", "prompt_bytes")

    def __init__(self, place: Place) -> None:
        self.place = place

    @classmethod
    def refusal(cls, parameters: Mapping[str, Any]) -> tuple[str, str] | None:
        """A parameter, and what is wrong with it, of parameters that their types and bounds let pass."""
        return None

    @classmethod
    def calibration_needs(cls, parameters: Mapping[str, Any]) -> Needs | None:
        """What must be known of a calibration split before a run; ``None`` without calibration."""
        return None

    @classmethod
    def calibrated(cls, parameters: Mapping[str, Any], calibration: Calibration) -> dict[str, Any]:
        """The parameters of the constructor that follow from a calibration split.

        Raises:
            ValueError: its rows are too few, or do not show what is asked for.
        """
        return {}

    @classmethod
    def foreknown(cls, tiers: Sequence[str], right: Mapping[str, Collection[str]]) -> dict[str, Any]:
        """The parameters of the constructor that follow from the answers, for a policy that knows them.

        Args:
            tiers: those that infer, lowest first; the last one is the top.
            right: of each, the ids of the requests that it answers rightly.
        """
        return {}

    @classmethod
    def share_asked(cls, parameters: Mapping[str, Any], tier: str) -> float | None:
        """The share of a tier's requests that the parameters ask to send up; ``None`` where they say none."""
        return None

    @classmethod
    def shared(cls, parameters: Mapping[str, Any]) -> bool:
        """Whether all nodes of a tier have one memory: each is told what entered another's.

        Whoever runs the nodes tells them, in the order of requests (:meth:`observe`), or has one policy for
        all of them.
        """
        return False

    def observe(self, confidence: float) -> None:
        """Take in a confidence that entered the memory at another node of the tier."""
        raise NotImplementedError(f"{type(self).__name__} is not shared")

    @property
    def infers(self) -> bool:
        """Whether this node answers at all; one that does not passes requests on untouched."""
        return True

    def passes_on(self, request: Request) -> bool:
        """Whether a request goes up without an inference here; asked by several threads at a time."""
        return False

    def judge(self, request: Request, confidence: float) -> Decision:
        """Say whether this node's answer to ``request`` stays here; by its confidence alone, by default."""
        return self.decide(confidence)

    def decide(self, confidence: float) -> Decision:
        """Say whether the answer of that confidence, in [0, 1], stays here."""
        raise NotImplementedError(f"{type(self).__name__} has neither decide nor judge")


POLICIES: Variants[Policy] = Variants("policy", "tiers.policies", Policy, besides=["tier_only"], hyphens=True)


def for_tier(value: Value | Mapping[str, Value], tier: str) -> Value:
    """What holds for a tier, of a ``value`` for all tiers or of one for each."""
    return value[tier] if isinstance(value, Mapping) else value


def at_tier(what: str, value: Value | Mapping[str, Value], place: Place, top: Value) -> Value:
    """What holds for a node's tier, of a ``value`` for all tiers or of one for each.

    ``top`` stands for the top tier, which decides nothing.

    Raises:
        ValueError: the mapping has none for the tier.
    """
    if not isinstance(value, Mapping):
        return value
    if place.is_top:
        return top
    if place.tier not in value:
        raise ValueError(f"{what} has none for tier {place.tier}; add it")
    return value[place.tier]


def tier_of(name: str) -> str | None:
    """The tier in a policy's name ``<tier>-only``; ``None`` for any other name."""
    return name.removesuffix(_ONLY) if name.endswith(_ONLY) else None


def find_policy(name: str, plugins: Sequence[str] = ()) -> type[Policy]:
    """The class of a policy: one of :data:`POLICIES`, ``<tier>-only``, or ``file.py:Class``.

    Raises:
        ConfigError: there is none.
    """
    return POLICIES.find(name, plugins) if tier_of(name) is None else POLICIES.of_module("tier_only")


def unknowable(knows: Iterable[str], *, outside: bool) -> str | None:
    """Why a policy may not know what it asks for; ``None`` if it may.

    ``outside``: its class is not of this repository, which is given no answers.
    """
    known = OPEN if outside else (*OPEN, ANSWERS)
    if refused := [name for name in knows if name not in known]:
        return f"asks to know {refused[0]}, and a policy may know {', '.join(known)}; take it out of knows"
    return None


def make_policy(spec: Mapping[str, Any], place: Place, plugins: Sequence[str] = ()) -> Policy:
    """The policy of ``spec`` for a node.

    Args:
        spec: ``{"policy": NAME, parameter: value, …}``, with a name that :func:`find_policy` knows. Values
            of ``None`` count as not given. ``relay`` lists tiers that pass requests on and do not infer.
        place: the node.
        plugins: directories in which files of plug-ins are looked for.

    Raises:
        ConfigError: no such policy, parameters that it does not take, or it asks for what it may not know.
    """
    name = spec.get("policy")
    if not isinstance(name, str) or not name:
        raise ConfigError("a method needs the name of its policy, such as recserve")
    given = {key: value for key, value in spec.items() if key not in ("policy", RELAY)}
    made = find_policy(name, plugins)
    if made.decide is Policy.decide and made.judge is Policy.judge:
        raise ConfigError(f"policy {name}: {made.__name__} decides nothing; give it a method decide")
    if refused := unknowable(made.knows, outside=external(name) is not None):
        raise ConfigError(f"policy {name} {refused}")
    if place.tier in spec.get(RELAY, ()):
        return POLICIES.of_module("tier_only")(place, tier=place.tiers[-1])  # type: ignore[call-arg]
    if (tier := tier_of(name)) is not None:
        given["tier"] = tier
    try:
        return construct(f"policy {name}", made, place, given, spare=GIVEN)
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:
        if external(name) is None:
            raise
        raise ConfigError(f"policy {name}: {plain.told(error)}") from error
