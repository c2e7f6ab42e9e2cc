"""The methods that a scenario compares: a unique label, a policy, and the parameters that policy takes."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag, ValidationInfo, model_validator

from testbed.scenario.reading.mistakes import mistake, nearest
from testbed.scenario.sections.section import Count, Number, Section, external_class, name_like
from tiers.policies import REGISTRY as POLICIES

Probability = Annotated[Number, Field(ge=0, le=1)]
MethodName = Annotated[
    str,
    # It names a directory of captures too.
    name_like(
        r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,47}",
        "letters, digits, - _ . and +, at most 48, a letter or digit first",
    ),
]


class _Method(Section):
    """``name`` labels tables, captures and columns; ``policy`` is the class behind it."""

    name: MethodName
    policy: str

    @property
    def parameters(self) -> dict[str, Any]:
        """The policy's own parameters."""
        return self.model_dump(mode="json", exclude={"name", "policy"})


class RecServe(_Method):
    """Keep an answer whose confidence reaches the β-quantile of the last ``window`` ones (arXiv:2505.16502).

    The defaults are those of the authors' experiment script.
    """

    beta: Probability = 0.3
    window: Count = 10_000


class CasServe(_Method):
    """A cascade with one fixed threshold for each tier but the top."""

    thresholds: dict[str, Probability]


class TierOnly(_Method):
    """``TIER-only``: that tier infers and the ones below relay."""

    @property
    def tier(self) -> str:
        return self.policy.removesuffix("-only")


class Registered(_Method):
    """Any other policy registered in :mod:`tiers.policies`; it takes what its constructor names."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _only_its_parameters(cls, data: Any) -> Any:
        if isinstance(data, dict):
            taken = list(inspect.signature(POLICIES[data["policy"]]).parameters)[1:]  # the first is the place
            for key in data:
                if key not in ("name", "policy", *taken):
                    raise mistake(f"unknown key; {nearest(str(key), ['name', 'policy', *taken])}", str(key))
        return data


class External(_Method):
    """A policy class in a file of the user's, ``FILE.py:CLASS``; its parameters are its own affair."""

    model_config = ConfigDict(extra="allow")


def _tag(value: Any) -> str:
    policy: str = value["policy"] if isinstance(value, dict) else value.policy
    if policy in ("recserve", "casserve"):
        return f"<{policy}>"
    if policy in POLICIES:
        return "<registered>"
    return "<tier-only>" if policy.endswith("-only") else "<external>"


def _named(value: Any, info: ValidationInfo) -> Any:
    """Fill in the policy, whose default is the name, and refuse one that is not known."""
    if isinstance(value, _Method):
        return value
    if not isinstance(value, dict):
        raise mistake(f"must be a mapping with a name, not {value!r}")
    policy = value.get("policy", value.get("name"))
    if not isinstance(policy, str):
        field = "policy" if "policy" in value else "name"
        raise mistake("is missing; add it" if policy is None else f"must be a word, not {policy!r}", field)
    if found := external_class(policy, info.context, "policy"):
        policy = found
    elif policy not in POLICIES and not policy.endswith("-only"):
        near = nearest(policy, (*POLICIES, "TIER-only", "FILE.py:CLASS"))
        hint = "" if "policy" in value else "; a method with a name of its own needs its policy beside it"
        raise mistake(f"no policy {policy!r}; {near}{hint}", "policy" if "policy" in value else "")
    return {**value, "policy": policy}


Method = Annotated[
    Annotated[
        Annotated[RecServe, Tag("<recserve>")]
        | Annotated[CasServe, Tag("<casserve>")]
        | Annotated[TierOnly, Tag("<tier-only>")]
        | Annotated[Registered, Tag("<registered>")]
        | Annotated[External, Tag("<external>")],
        Discriminator(_tag),
    ],
    BeforeValidator(_named),
]


def check_methods(methods: Sequence[_Method], tiers: Sequence[str]) -> None:
    """Hold methods against the scenario's tiers, lowest first.

    Raises:
        PydanticCustomError: a tier that is not there, or thresholds that are too few or too many.
    """
    for method in methods:
        if isinstance(method, TierOnly) and method.tier not in tiers:
            options = [f"{tier}-only" for tier in tiers]
            raise mistake(
                f"no tier {method.tier!r} for policy {method.policy}; {nearest(method.policy, options)}",
                f"methods.{method.name}",
            )
        if isinstance(method, CasServe):
            _check_thresholds(method, tiers)


def _check_thresholds(method: CasServe, tiers: Sequence[str]) -> None:
    field = f"methods.{method.name}.thresholds"
    for tier in method.thresholds:
        if tier not in tiers:
            raise mistake(f"no tier {tier!r}; {nearest(tier, tiers[:-1])}", field)
    if tiers[-1] in method.thresholds:
        raise mistake(f"{tiers[-1]} is the top tier and always answers; remove its threshold", field)
    for tier in tiers[:-1]:
        if tier not in method.thresholds:
            raise mistake(f"no threshold for tier {tier}; every tier but the top needs one", field)
