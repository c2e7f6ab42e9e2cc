"""The methods that a scenario compares: a unique label, a policy, and the parameters that policy takes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, SerializeAsAny

from testbed.scenario.reading.mistakes import mistake, nearest
from testbed.scenario.reading.source import class_attribute
from testbed.scenario.sections.calibration import CalibrationSplit
from testbed.scenario.sections.derived import section_of
from testbed.scenario.sections.event import Event
from testbed.scenario.sections.kind import judges
from testbed.scenario.sections.replay import Replay
from testbed.scenario.sections.section import FileContext, NameLike, Section, chosen, find_external
from tiers.calibration import Needs
from tiers.parameters import ByTier, mark, parameters
from tiers.plugins import external
from tiers.policies.base import ANSWERS, GIVEN, OPEN, POLICIES, find_policy, for_tier, tier_of, unknowable

MethodName = Annotated[
    str,
    # It names a directory of captures too.
    NameLike(
        r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,47}",
        "letters, digits, - _ . and +, at most 48, a letter or digit first",
    ),
]


class Method(Section):
    """``name`` labels tables, captures and columns; ``policy`` is the class behind it.

    Tiers in ``relay`` pass requests on and do not infer. The other keys are the parameters of the policy's
    constructor (:mod:`tiers.policies`).
    """

    name: MethodName
    policy: str
    relay: tuple[str, ...] = ()

    @property
    def parameters(self) -> dict[str, Any]:
        """The policy's parameters, by the names that its constructor has for them."""
        return self.model_dump(mode="json", exclude={"name", "policy", "relay"}, exclude_none=True)

    @property
    def calibration_needs(self) -> Needs | None:
        """What it must know of a calibration split before a run; ``None`` without calibration."""
        return find_policy(self.policy).calibration_needs(self.parameters)

    def of_tier(self, name: str, tier: str) -> Any:
        """A parameter as it holds for a tier, whether it is given for all tiers or for each."""
        return for_tier(self.parameters[name], tier)

    def share_asked(self, tier: str) -> float | None:
        """The share of a tier's requests that it asks to send up; ``None`` where it says none."""
        return find_policy(self.policy).share_asked(self.parameters, tier)

    @property
    def knows(self) -> Collection[str]:
        """What its policy looks at (:data:`tiers.policies.base.OPEN`)."""
        return find_policy(self.policy).knows

    @property
    def shared(self) -> bool:
        """Whether all nodes of a tier have one memory, as with ``scope: tier``."""
        return find_policy(self.policy).shared(self.parameters)

    @property
    def only_tier(self) -> str | None:
        """The tier that alone answers under ``TIER-only``; ``None`` under any other policy."""
        return tier_of(self.policy)


class ExternalMethod(Method):
    """A policy class in a file of the user's, ``FILE.py:CLASS``; its parameters are its own affair."""

    model_config = ConfigDict(extra="allow")

    @property
    def calibration_needs(self) -> None:
        """It is not calibrated: its class is not loaded where a scenario is read."""
        return None

    @property
    def knows(self) -> Collection[str]:
        """What any policy may; what it asks for is held against that when it is made, at the latest."""
        return OPEN

    @property
    def shared(self) -> bool:
        """Each node of its own: no key of it is the scenario's."""
        return False

    def share_asked(self, tier: str) -> None:
        """Nobody knows what it asks for: its class is not loaded where a scenario is read."""
        return None


def _section(value: Any, context: FileContext | None) -> tuple[type[Method], dict[str, Any]]:
    """The section of a method's policy, whose name is by default the method's, and the mapping to read."""
    if not isinstance(value, dict):
        raise mistake(f"must be a mapping with a name, not {value!r}")
    policy = value.get("policy", value.get("name"))
    if not isinstance(policy, str):
        field = "policy" if "policy" in value else "name"
        raise mistake("is missing; add it" if policy is None else f"must be a word, not {policy!r}", field)
    if found := find_external(policy, context, "policy"):
        if context is not None and (refused := _asks_too_much(found)):
            raise mistake(f"{policy} {refused}", "policy")
        return ExternalMethod, {**value, "policy": found}
    if policy not in POLICIES.names and tier_of(policy) is None:
        near = nearest(policy, (*POLICIES.names, "TIER-only", "FILE.py:CLASS"))
        hint = "" if "policy" in value else "; a method with a name of its own needs its policy beside it"
        raise mistake(f"no policy {policy!r}; {near}{hint}", "policy" if "policy" in value else "")
    return _section_of(policy), {**value, "policy": policy}


def method_sections() -> dict[str, type[Method]]:
    """By policy, the section that reads a method; those that ask one tier alone are not among them."""
    return {policy: _section_of(policy) for policy in POLICIES.names}


def _section_of(policy: str) -> type[Method]:
    return section_of(find_policy(policy), Method, defaults=True, without=GIVEN)


def _asks_too_much(policy: str) -> str | None:
    """Why ``FILE.py:CLASS`` may not know what it asks for, as far as its text says without being run."""
    place = external(policy)
    knows = class_attribute(Path(place.where), place.class_name, "knows") if place is not None else None
    named = isinstance(knows, list | tuple | set) and all(isinstance(name, str) for name in knows)
    return unknowable(knows, outside=True) if named and knows else None


AnyMethod = Annotated[SerializeAsAny[Method], chosen(_section)]
"""One entry of ``methods:``."""


def check_methods(methods: Sequence[Method], tiers: Sequence[str]) -> None:
    """Hold methods against the scenario's tiers, lowest first.

    Raises:
        PydanticCustomError: a tier that is not there or cannot relay, or values by tier that are too few or
            too many.
    """
    for method in methods:
        if (tier := method.only_tier) is not None and tier not in tiers:
            options = [f"{known}-only" for known in tiers]
            raise mistake(
                f"no tier {tier!r} for policy {method.policy}; {nearest(method.policy, options)}",
                f"methods.{method.name}",
            )
        _check_relays(method, tiers)
        if not isinstance(method, ExternalMethod):
            if refused := find_policy(method.policy).refusal(method.parameters):
                raise mistake(refused[1], f"methods.{method.name}.{refused[0]}")
            for name, parameter in parameters(find_policy(method.policy)).items():
                given, by_tier = method.parameters.get(name), mark(parameter, ByTier)
                if by_tier is not None and isinstance(given, dict):
                    _check_by_tier(given, by_tier.entry, tiers, method, name)


def check_calibrated(methods: Sequence[Method], task: str, split: CalibrationSplit | None) -> None:
    """Methods that are calibrated have a split for it, and there is right and wrong if a method asks for it.

    Raises:
        PydanticCustomError: they have not.
    """
    for method in methods:
        needs, field = method.calibration_needs, f"methods.{method.name}"
        if needs is not None and split is None:
            raise mistake("is calibrated before the run; add calibration: {rows: 300}", field)
        if needs == "answers" and not judges(task):
            raise mistake(
                f"{task} has no accuracy to show; calibrate by {{share: 0.3}}", f"{field}.calibrate"
            )
        if ANSWERS in method.knows and not judges(task):
            raise mistake(f"{task} has no right and wrong answers to know; leave {method.policy} out", field)


def check_shared(methods: Sequence[Method], replay: Replay, events: Sequence[Event]) -> None:
    """Where nodes of a tier share a window, each of them hears of every request before the next is sent.

    Raises:
        PydanticCustomError: requests overlap, or a node is away meanwhile.
    """
    for method in methods:
        if not method.shared:
            continue
        field = f"methods.{method.name}.scope"
        if replay.mode != "lockstep":
            raise mistake(
                f"tier is for lockstep and what-if: containers have no link to share a window over while "
                f"requests overlap (mode: {replay.mode}); write replay: {{mode: lockstep}}, or scope: node",
                field,
            )
        if away := next((event.kind for event in events if event.kind in ("kill", "pause")), None):
            raise mistake(f"a tier that an event may {away} hears of no window; write scope: node", field)


def _check_relays(method: Method, tiers: Sequence[str]) -> None:
    """Every tier that relays has one above it, and is not the one that is to answer."""
    field = f"methods.{method.name}.relay"
    for tier in method.relay:
        if tier not in tiers:
            raise mistake(f"no tier {tier!r}; {nearest(tier, tiers[:-1])}", field)
        if tier == tiers[-1]:
            raise mistake(f"{tier} is the top tier and always answers; take it out", field)
        if tier == method.only_tier:
            raise mistake(f"{tier} alone answers under {method.policy}; take it out", field)


def _check_by_tier(
    given: dict[str, Any], entry: str, tiers: Sequence[str], method: Method, parameter: str
) -> None:
    """Every tier that decides has its entry, and nothing else has any."""
    field = f"methods.{method.name}.{parameter}"
    for tier in given:
        if tier not in tiers:
            raise mistake(f"no tier {tier!r}; {nearest(tier, tiers[:-1])}", field)
        if tier in method.relay:
            raise mistake(f"{tier} relays under {method.name} and decides nothing; remove its {entry}", field)
    if tiers[-1] in given:
        raise mistake(f"{tiers[-1]} is the top tier and always answers; remove its {entry}", field)
    for tier in tiers[:-1]:
        if tier not in given and tier not in method.relay:
            raise mistake(f"no {entry} for tier {tier}; every tier but the top needs one", field)
