"""The methods' rules, one for each policy, by which :mod:`testbed.results.audit` finds every decision again.

They are written apart from the policies of the tiers, which they audit, and share no code with them.
Thresholds come from ``numpy.percentile``, as in the authors' code, over a window that is rebuilt here in the
order in which values entered it.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from testbed.results.steps import Case, Step

BUDGET_SLACK, BUDGET_GAIN, BUDGET_WINDOW = 4.0, 0.1, 1_000
"""As docs/METHODS.md has them."""


def _recserve(case: Case, steps: Sequence[Step]) -> Iterator[str]:
    """Keep what reaches the ``beta`` quantile of the node's, or the tier's, last confidences
    (arXiv:2505.16502).
    """
    yield from _tops(steps)
    shared = case.method.parameters["scope"] == "tier"
    for window in _tiers(case, steps) if shared else _lives(steps):
        yield from _windowed(case, window)


def _tiers(case: Case, steps: Sequence[Step]) -> list[list[Step]]:
    """The decisions below the top by tier, each list in the order in which the requests were sent."""
    tiers: defaultdict[str, list[Step]] = defaultdict(list)
    for step in _inferred(steps):
        tiers[case.tier(step)].append(step)
    return [sorted(tier, key=lambda step: step.sent_at_s) for tier in tiers.values()]


def _lives(steps: Sequence[Step]) -> list[list[Step]]:
    """The decisions below the top by node and life, each list in the order in which they were made."""
    lives: defaultdict[tuple[str, int], list[Step]] = defaultdict(list)
    for step in _inferred(steps):
        lives[step.node, step.life].append(step)
    return [
        sorted(life, key=lambda step: -1 if step.sequence is None else step.sequence)
        for life in lives.values()
    ]


def _out_of_order(step: Step, expected: int) -> Iterator[str]:
    """Where a decision is not the ``expected``-th of its window: what follows rests on another window."""
    if step.sequence != expected or step.confidence is None:
        where = f"{step.request} at {step.node}"
        yield f"{where}: entered the window as number {step.sequence}, expected {expected}"


def _windowed(case: Case, steps: Sequence[Step]) -> Iterator[str]:
    """What was decided by one window, from the values on that it started with."""
    beta, size, enters = (case.parameter(name, steps[0]) for name in ("beta", "window", "enter"))
    prefilled = case.method.parameters["start"] == "prefilled"
    before = case.quantiles[case.tier(steps[0])][1][-size:] if prefilled else []
    values = np.array([*before, *(step.confidence for step in steps)], float)  # the window is a slice of it
    for expected, step in enumerate(steps):
        where = f"{step.request} at {step.node}"
        if wrong := list(_out_of_order(step, expected)):
            yield from wrong
            break
        entered = len(before) + expected + 1
        seen = entered if enters == "before" else entered - 1
        window = values[max(0, seen - size) : seen]
        threshold = float(np.percentile(window, 100 * beta)) if len(window) >= 2 else None
        if step.length != min(entered, size):
            yield f"{where}: window of {step.length} values, expected {min(entered, size)}"
        yield from _by_threshold(step, threshold)


def _fixed(case: Case, steps: Sequence[Step]) -> Iterator[str]:
    """Keep what reaches the fixed threshold of the node's tier."""
    yield from _tops(steps)
    for step in _inferred(steps):
        if step.confidence is None:
            yield f"{step.request} at {step.node}: no confidence recorded"
        else:
            yield from _by_threshold(step, case.thresholds[case.tier(step)])


def _colserve(case: Case, steps: Sequence[Step]) -> Iterator[str]:
    """Send up what the lot has below the tier's share."""
    yield from _tops(steps)
    for step in _inferred(steps):
        where = f"{step.request} at {step.node}"
        if step.confidence is None:
            yield f"{where}: no confidence recorded"
        name = f"{case.seed}/{case.method.name}/{step.node}/{step.request}"
        lot = int(hashlib.sha256(name.encode()).hexdigest()[:16], 16) // 2**11 * 2.0**-53
        yield from _no_window(step)
        yield from _decided(step, lot >= case.parameter("share", step), f"at lot {lot!r}")


def _budget(case: Case, steps: Sequence[Step]) -> Iterator[str]:
    """Send up the least certain, as many as keep the node within its slack of the budget."""
    yield from _tops(steps)
    for life in _lives(steps):
        yield from _balanced(case, life)


def _balanced(case: Case, steps: Sequence[Step]) -> Iterator[str]:
    """What one node decided in one life: ``behind`` is how much less went up than the budget has."""
    share = case.parameter("share", steps[0])
    window: deque[float] = deque(maxlen=BUDGET_WINDOW)
    behind, total = 0.0, 0
    for expected, step in enumerate(steps):
        if wrong := list(_out_of_order(step, expected)):
            yield from wrong
            break
        assert step.confidence is not None
        weight = 1 if case.method.parameters["of"] == "requests" else step.prompt_bytes or 0
        window.append(step.confidence)
        total += weight
        mean = total / (expected + 1)
        if_kept = behind + share * weight
        if_sent = if_kept - weight
        bound = BUDGET_SLACK * mean
        if -bound <= if_sent and if_kept <= bound:
            level = np.clip(share + BUDGET_GAIN * behind / mean, 0.0, 1.0)
            threshold = float(np.percentile(np.fromiter(window, float), 100 * level))
            yield from _by_threshold(step, threshold)
            keep = not step.confidence < threshold
        else:
            keep = abs(if_kept) <= abs(if_sent)
            yield from _by_threshold(step, None, keep=keep)
        if step.length != len(window):
            yield f"{step.request} at {step.node}: window of {step.length} values, expected {len(window)}"
        behind = if_kept if keep else if_sent


def _length_router(case: Case, steps: Sequence[Step]) -> Iterator[str]:
    """Long prompts go up and are not inferred; the others stay."""
    yield from _tops(steps)
    for step in _inferred(steps):
        longest, length = case.parameter("longest", step), step.prompt_bytes
        stays = length is not None and length <= longest
        if step.kept != stays or (step.confidence is not None) != stays:
            where = f"{step.request} at {step.node}"
            yield f"{where}: {length} bytes, and the rule has up to {longest} inferred and kept, no others"
        yield from _no_window(step)


def _oracle(case: Case, steps: Sequence[Step]) -> Iterator[str]:
    """Send up what this tier answers wrongly and a tier above it, of those that infer, rightly."""
    yield from _tops(steps)
    for step in steps:
        if step.undecided:
            continue
        tier, where = case.tier(step), f"{step.request} at {step.node}"
        known = {name: answers.get(step.request) for name, answers in (case.answers or {}).items()}
        if step.confidence is None or step.answer != known.get(tier):
            yield f"{where}: answered {step.answer!r}, and its recording has {known.get(tier)!r}"
        if step.top:
            continue
        above = case.inferring[case.inferring.index(tier) + 1 :]
        right = [name for name in (tier, *above) if case.is_right(known.get(name), step.reference)]
        yield from _no_window(step)
        yield from _decided(step, not right or right[0] == tier, "knowing all answers")


def _tier_only(case: Case, steps: Sequence[Step]) -> Iterator[str]:
    """One tier infers and keeps, and those below it relay."""
    tier = case.method.only_tier
    serving = next(node.level for node in case.topology.nodes if node.tier == tier)
    for step in steps:
        level = case.topology.node(step.node).level
        if level > serving:
            yield f"{step.request} at {step.node}: went above tier {tier}"
        elif step.undecided:
            continue
        elif (step.confidence is not None) != (level == serving) or step.kept != (level == serving):
            yield f"{step.request} at {step.node}: not served by tier {tier} alone"


def _unknown(case: Case, steps: Sequence[Step]) -> Iterator[str]:
    """What holds whatever the policy is: the top tier keeps all. The audit's other checks do, too."""
    yield from _tops(steps)
    made = Counter(case.tier(step) for step in _inferred(steps))
    counts = ", ".join(f"{made[tier]} at {tier}" for tier in case.inferring if made[tier])
    yield (
        f"policy {case.method.policy} has no rules here, so its decisions are not shown: {counts or 'none'}; "
        "which way requests went and whose answers they got is"
    )


def _uncalibrated(case: Case, _steps: Sequence[Step]) -> Iterator[str]:
    yield "no calibration is recorded, so its decisions are not shown"


def _unforeseen(case: Case, _steps: Sequence[Step]) -> Iterator[str]:
    yield "the answers that it knew are not recorded, so its decisions are not shown"


def _inferred(steps: Sequence[Step]) -> Iterator[Step]:
    """The steps below the top that came to a decision."""
    return (step for step in steps if not step.top and not step.undecided)


def _tops(steps: Sequence[Step]) -> Iterator[str]:
    for step in steps:
        if step.top and not step.undecided:
            yield from _top(step)


def _top(step: Step) -> Iterator[str]:
    """The top tier infers and keeps, by no threshold and no window."""
    where = f"{step.request} at {step.node}"
    if not step.kept:
        yield f"{where}: the top tier did not keep it"
    if step.confidence is None:
        yield f"{where}: the top tier recorded no confidence"
    if (step.threshold, step.sequence, step.length) != (None, None, None):
        yield f"{where}: the top tier recorded a threshold or a window, and has neither"


def _no_window(step: Step) -> Iterator[str]:
    if (step.threshold, step.sequence, step.length) != (None, None, None):
        yield f"{step.request} at {step.node}: recorded a threshold or a window, and the rule has neither"


def _by_threshold(step: Step, threshold: float | None, *, keep: bool = True) -> Iterator[str]:
    """Keep what reaches ``threshold``; without one, ``keep`` says what becomes of it."""
    where = f"{step.request} at {step.node}"
    if step.threshold != threshold:
        yield f"{where}: threshold {step.threshold!r}, expected {threshold!r}"
    assert step.confidence is not None
    keep = keep if threshold is None else not step.confidence < threshold
    yield from _decided(step, keep, f"at confidence {step.confidence!r}")


def _decided(step: Step, keep: bool, at: str) -> Iterator[str]:
    """Where the node decided otherwise than to ``keep``."""
    if step.kept != keep:
        did, right = ("kept", "offloaded") if step.kept else ("offloaded", "kept")
        yield f"{step.request} at {step.node}: {did} {at}, the rule has it {right}"


class Rule(NamedTuple):
    """How a policy decides: ``apply`` gives a sentence for every decision that the rule has otherwise.

    ``remembers`` says that a decision rests on the node's earlier ones.
    """

    apply: Callable[[Case, Sequence[Step]], Iterator[str]]
    remembers: bool = False


_RULES = {
    "recserve": Rule(_recserve, remembers=True),
    "casserve": Rule(_fixed),
    "static-quantile": Rule(_fixed),
    "colserve": Rule(_colserve),
    "budget": Rule(_budget, remembers=True),
    "length-router": Rule(_length_router),
    "oracle": Rule(_oracle),
    "TIER-only": Rule(_tier_only),
}
"""By policy name."""


def rule_of(case: Case) -> Rule:
    """The rule of a method's policy; where it cannot be applied, one that says so."""
    policy = case.method.policy
    name = policy if policy in _RULES or not policy.endswith("-only") else "TIER-only"
    if name in _RULES and case.method.calibration_needs is not None and case.calibration is None:
        return Rule(_uncalibrated)
    if name == "oracle" and case.answers is None:
        return Rule(_unforeseen)
    return _RULES.get(name, Rule(_unknown))


def relays(case: Case, steps: Sequence[Step]) -> Iterator[str]:
    """Where a tier that is to pass requests on inferred or kept one."""
    for step in steps:
        if case.relays(step) and (step.kept or step.confidence is not None):
            yield f"{step.request} at {step.node}: {case.tier(step)} relays under this method, and inferred"
