"""Holds what a user expects of a run, such as ``recserve.burden_vs_cloud_only<0.5``, against its summary."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from testbed.errors import TestbedError
from testbed.results.columns import RequestRow
from testbed.results.fidelity import CLAIMS, Claim
from testbed.results.summary import NO_CLOUD_ONLY, summarise
from testbed.scenario.reading.mistakes import nearest
from testbed.scenario.scenario import Scenario

VERDICTS = "faithful"
"""What stands in a method's place where a verdict is expected: ``faithful.bytes==true``."""
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_FORM = re.compile(r"\s*([^<>=!\s]+)\s*(<=|>=|==|!=|<|>)\s*([^<>=!\s]+)\s*")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_LIKE = "METHOD.KEY<NUMBER, such as recserve.burden_vs_cloud_only<0.5, or faithful.bytes==true"

_QUALITY = ("accuracy", "macro_f1", "exact_match", "score", "bleu", "chrf", "quality")
_RESTS_ON: tuple[tuple[str, Claim], ...] = (
    (rf"({'|'.join(_QUALITY)})(_.*)?", "quality"),
    (r"theory\.tiers\.[^.]+\.calibration_error.*", "quality"),
    (r"(latency|spent)_.*", "latency"),
    (r"theory\.(tiers\.[^.]+|compute)\.inference_ms.*", "latency"),
    (r"(prompt|answer)_bytes|burden_vs_.*", "bytes"),
    (r"theory\.(hops\.[^.]+\.prompt_bytes|recursion\.burden)", "bytes"),
    (r"offload\..*", "decisions"),
)
"""Which verdict a figure rests on, by its name: as the printed tables have ``n/v``, and shares that a method
sent up on the decisions. What the kernel counted rests on none.
"""


@dataclass(frozen=True)
class Expectation:
    """A comparison of a figure with a value; ``keys`` lead to the figure from its method's in the summary."""

    text: str
    method: str
    keys: tuple[str, ...]
    compare: str
    value: float | bool

    def failure(self, summary: Mapping[str, Any], reasons: Mapping[str, Sequence[str]]) -> str | None:
        """Why a run does not show it, in a sentence; ``None`` if it does.

        Args:
            summary: that of the run.
            reasons: by claim, what speaks against it (``fidelity.json``).
        """
        why = self._why_not(summary, reasons)
        return why and f"--expect {self.text}: {why}"

    def _why_not(self, summary: Mapping[str, Any], reasons: Mapping[str, Sequence[str]]) -> str | None:
        if self.method == VERDICTS:
            found = summary[VERDICTS][self.keys[0]]
            why = next(iter(reasons.get(self.keys[0], ())), "")
            return self._compared(found, f": {why}" if found is False and why else "")
        if self.method not in summary["methods"]:
            return f"{self.method} was not run to its end, so that there is no such figure"
        figures = summary["methods"][self.method]
        found, last = _look_up(figures, self.keys)
        if self.keys == ("errors",):  # as the tables have them
            found = sum(found.values())
        if found is None:
            return f"it is null, and so not known: {_why_null(figures, last)}"
        for claim in rests_on(self.keys):
            if not summary[VERDICTS][claim]:
                why = next(iter(reasons.get(claim, ())), "fidelity.json says why")
                return f"it is not valid (n/v), for {claim} may not be believed: {why}"
        if isinstance(found, Mapping):
            return f"it has figures by name: {'.'.join((self.method, *self.keys))}.{_one_of(found)}"
        if isinstance(found, bool) or not isinstance(found, int | float):
            return f"it is no number: {found!r}"
        return self._compared(found)

    def _compared(self, found: float | bool, why: str = "") -> str | None:
        if _COMPARE[self.compare](found, self.value):
            return None
        return f"it is {str(found).lower() if isinstance(found, bool) else repr(found)}{why}"


def rests_on(keys: Sequence[str]) -> Iterator[Claim]:
    """The claims that must hold for a figure of a method to be valid."""
    name = ".".join(keys)
    for pattern, claim in _RESTS_ON:
        if re.fullmatch(pattern, name) or re.fullmatch(pattern, keys[0]):
            yield claim


def parse_expectation(text: str, scenario: Scenario) -> Expectation:
    """Read an expectation of a run of the scenario.

    Raises:
        TestbedError: it is none, or of a method or a figure that there will not be.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise TestbedError(f"{text!r} is no expectation; write {_LIKE}")
    name, compare, value = match.groups()
    methods = [method.name for method in scenario.methods]
    if name.startswith(f"{VERDICTS}.") and VERDICTS not in methods:
        return _verdict(text, name.removeprefix(f"{VERDICTS}."), compare, value)
    if _NUMBER.fullmatch(value) is None:
        raise TestbedError(f"{text!r}: {value!r} is no number; write {_LIKE}")
    # A method's name may have points of its own: the longest that fits is meant.
    method = max((known for known in methods if name.startswith(f"{known}.")), key=len, default=None)
    if method is None:
        asked = name.split(".", 1)[0]
        raise TestbedError(f"{text!r}: no method {asked!r} is run; there are {', '.join(methods)}")
    keys = tuple(name.removeprefix(f"{method}.").split("."))
    shape = _shape(scenario)[method]
    _require_possible(text, keys, shape)
    if "_vs_" in keys[0] and shape["vs_cloud_only_reason"] == NO_CLOUD_ONLY:
        raise TestbedError(f"{text!r}: there will be none, for {NO_CLOUD_ONLY}")
    return Expectation(text, method, keys, compare, float(value))


def _verdict(text: str, claim: str, compare: str, value: str) -> Expectation:
    if claim not in CLAIMS:
        raise TestbedError(f"{text!r}: no verdict {claim!r}; {nearest(claim, CLAIMS)}")
    if compare not in ("==", "!=") or value not in ("true", "false"):
        raise TestbedError(f"{text!r}: a verdict is true or false; write {VERDICTS}.{claim}==true")
    return Expectation(text, VERDICTS, (claim,), compare, value == "true")


def _shape(scenario: Scenario) -> Mapping[str, Any]:
    """By method, the figures of a run in which a request got no answer: all names, and hardly a value."""
    empty: dict[str, Any] = {
        field.name: [] if str(field.type).startswith("list") else None for field in fields(RequestRow)
    }
    empty["device"] = scenario.topology.nodes[0].name
    empty |= {"request_id": "r", "outcome": "timeout", "latency_ms": 0.0, "prompt_bytes": 1, "reference": ""}
    rows = [{**empty, "method": method.name} for method in scenario.methods]
    made: Mapping[str, Any] = summarise(scenario, rows, [], dict.fromkeys(CLAIMS, True))["methods"]
    return {name: {"vs_cloud_only_reason": None, **figures} for name, figures in made.items()}


def _require_possible(text: str, keys: Sequence[str], shape: Any) -> None:
    """Refuse a name that no run of the scenario can have; what may be there or not is taken."""
    if tuple(keys) == ("errors",):  # all of them
        return
    for at, key in enumerate(keys):
        so_far = ".".join(keys[:at])
        if so_far == "errors" or shape is None:  # errors have names of their own; nothing, or more than one
            return
        if isinstance(shape, list):
            if key not in ("0", "1"):
                raise _two_ends(text, so_far)
            shape = shape[int(key)]
        elif not isinstance(shape, Mapping):
            raise TestbedError(f"{text!r}: {so_far} is one figure; leave out .{key}")
        elif key not in shape:
            where = f" in {so_far}" if so_far else ""
            numbers = [name for name in shape if not name.endswith("_reason")]
            raise TestbedError(f"{text!r}: no figure {key!r}{where}; {nearest(key, numbers)}")
        else:
            shape = shape[key]
    if isinstance(shape, list):
        raise _two_ends(text, ".".join(keys))
    if isinstance(shape, Mapping) and shape:
        raise TestbedError(
            f"{text!r}: {'.'.join(keys)} has figures by name; write {keys[-1]}.{_one_of(shape)}"
        )


def _two_ends(text: str, name: str) -> TestbedError:
    return TestbedError(f"{text!r}: {name!r} has two ends; write {name}.0 or {name}.1")


def _one_of(figures: Mapping[str, Any]) -> str:
    return f"NAME, one of {', '.join(figures)}"


def _look_up(figures: Any, keys: Sequence[str]) -> tuple[Any, str]:
    """What is there under these keys, ``None`` if nothing is, and the first key, for the reason."""
    found = figures
    for key in keys:
        if isinstance(found, Mapping):
            found = found.get(key, 0 if keys[0] == "errors" else None)
        elif isinstance(found, list) and key.isdigit() and int(key) < len(found):
            found = found[int(key)]
        else:
            return None, keys[0]
    return found, keys[0]


def _why_null(figures: Mapping[str, Any], key: str) -> str:
    reason = "cost_reason" if key.startswith("cost") else "vs_cloud_only_reason" if "_vs_" in key else ""
    if figures.get(reason):
        return str(figures[reason])
    if key not in figures:
        return "the run, an older one, has no such figure"
    return "too few requests, or none of the kind that it is of (docs/RESULTS.md)"


def failures(
    expected: Sequence[Expectation], summary: Mapping[str, Any], fidelity: Mapping[str, Any]
) -> list[str]:
    """A sentence for each expectation that a run does not show."""
    found = (one.failure(summary, fidelity["reasons"]) for one in expected)
    return [sentence for sentence in found if sentence]
