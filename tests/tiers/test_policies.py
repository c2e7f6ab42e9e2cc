"""Policies and confidences, as the paper and its authors' code define them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiers.confidence import make_confidence
from tiers.errors import ConfigError
from tiers.models.base import Output
from tiers.policies import POLICIES, Place, Policy, Request, find_policy, make_policy

TIERS = ("device", "edge", "cloud")
DEVICE, EDGE, CLOUD = (Place(f"{tier}1", tier, TIERS) for tier in TIERS)


def test_recserve_decides_as_the_papers_code_in_the_papers_order() -> None:
    policy = make_policy({"policy": "recserve", "beta": 0.3, "window": 50}, DEVICE)
    history: list[float] = []
    for seq, confidence in enumerate(np.random.default_rng(3).random(300).tolist()):
        history = [*history, confidence][-50:]  # enters before the threshold is computed
        decision = policy.decide(confidence)
        assert (decision.window_seq, decision.window_length) == (seq, len(history))
        if len(history) < 2:
            assert decision.keep
            assert decision.threshold is None
        else:
            threshold = float(np.percentile(history, 30))
            assert decision.threshold == threshold
            assert decision.keep is not (confidence < threshold)


def test_recserve_never_offloads_the_first_request_nor_what_equals_the_threshold() -> None:
    policy = make_policy({"policy": "recserve", "beta": 1.0}, DEVICE)
    assert policy.decide(0.2).keep
    equal = policy.decide(0.2)
    assert equal.threshold == 0.2
    assert equal.keep


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=60),
    st.floats(0, 1),
    st.integers(1, 30),
    st.sampled_from(["before", "after"]),
)
def test_recserve_is_the_papers_rule_replayed(
    confidences: list[float], beta: float, size: int, enter: str
) -> None:
    policy = make_policy({"policy": "recserve", "beta": beta, "window": size, "enter": enter}, DEVICE)
    for number, confidence in enumerate(confidences):
        known = confidences[: number + 1] if enter == "before" else confidences[:number]
        known = known[-size:]
        threshold = float(np.percentile(known, 100 * beta)) if len(known) >= 2 else None
        decision = policy.decide(confidence)
        assert decision.threshold == threshold
        assert decision.keep is (threshold is None or not confidence < threshold)
        assert (decision.window_seq, decision.window_length) == (number, min(number + 1, size))


def test_recserve_has_a_beta_and_a_window_for_each_tier() -> None:
    spec = {"policy": "recserve", "beta": {"device": 1.0, "edge": 0.0}, "window": {"device": 2, "edge": 3}}
    device, edge = make_policy(spec, DEVICE), make_policy(spec, EDGE)
    for confidence in (0.9, 0.8, 0.7, 0.6):
        low, high = device.decide(confidence), edge.decide(confidence)
    assert (low.keep, low.threshold, low.window_length) == (False, 0.7, 2)
    assert (high.keep, high.threshold, high.window_length) == (True, 0.6, 3)
    make_policy(spec, CLOUD)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.floats(0, 1)), min_size=1, max_size=60),
    st.integers(1, 20),
    st.sampled_from(["before", "after"]),
)
def test_nodes_that_tell_one_another_decide_as_one_window_of_the_tier(
    asked: list[tuple[int, float]], size: int, enter: str
) -> None:
    spec = {"policy": "recserve", "beta": 0.4, "window": size, "enter": enter}
    places = [Place(f"device{number}", "device", TIERS) for number in range(1, 4)]
    nodes = [make_policy({**spec, "scope": "tier"}, place) for place in places]
    alone = make_policy(spec, DEVICE)
    for number, confidence in asked:
        assert nodes[number].decide(confidence) == alone.decide(confidence)
        for other in nodes:
            if other is not nodes[number]:
                other.observe(confidence)


def test_a_window_of_its_own_takes_nothing_from_other_nodes() -> None:
    for spec in ({"policy": "recserve"}, LOT):
        with pytest.raises((ValueError, NotImplementedError)):
            make_policy(spec, DEVICE).observe(0.5)


def test_recserve_sends_up_the_share_that_exchangeable_confidences_predict() -> None:
    beta, count = 0.1, 100
    expected = sum(math.ceil(beta * (m - 1)) / m for m in range(2, count + 1)) / count
    rng = np.random.default_rng(5)
    offloads = 0
    for _ in range(200):
        policy = make_policy({"policy": "recserve", "beta": beta}, DEVICE)
        offloads += sum(not policy.decide(value).keep for value in rng.random(count).tolist())
    assert offloads / (200 * count) == pytest.approx(expected, abs=0.006)
    assert expected == pytest.approx(0.117, abs=0.001)


def test_casserve_offloads_strictly_below_its_tiers_threshold() -> None:
    spec = {"policy": "casserve", "thresholds": {"device": 0.8, "edge": 0.6}}
    device, edge = make_policy(spec, DEVICE), make_policy(spec, EDGE)
    assert not device.decide(0.79).keep
    assert device.decide(0.8).keep
    assert edge.decide(0.79).keep
    assert edge.decide(0.79).threshold == 0.6
    make_policy(spec, CLOUD)  # the top needs none


LOT = {"policy": "colserve", "share": 0.3, "seed": 7, "method": "lot"}
ASKED = [Request(f"r{number:06d}", 50) for number in range(4000)]


def test_colserve_sends_up_its_share_and_does_not_look_at_confidences() -> None:
    policy = make_policy(LOT, DEVICE)
    decisions = [policy.judge(asked, 0.0) for asked in ASKED]
    assert decisions == [policy.judge(asked, 1.0) for asked in ASKED]
    share = sum(not decision.keep for decision in decisions) / len(ASKED)
    assert share == pytest.approx(0.3, abs=3 * math.sqrt(0.3 * 0.7 / len(ASKED)))
    assert {(decision.threshold, decision.window_seq) for decision in decisions} == {(None, None)}


def test_colserves_lots_repeat_in_any_order_and_differ_by_seed_method_and_node() -> None:
    def sent(spec: dict[str, object], place: Place, order: int) -> set[str]:
        policy = make_policy(spec, place)
        return {asked.id for asked in ASKED[::order] if not policy.judge(asked, 0.5).keep}

    first = sent(LOT, DEVICE, 1)
    assert sent(LOT, DEVICE, -1) == first
    second = Place("device2", "device", TIERS)
    others = [
        sent({**LOT, "seed": 8}, DEVICE, 1),
        sent({**LOT, "method": "b"}, DEVICE, 1),
        sent(LOT, second, 1),
    ]
    for other in others:
        assert len(first & other) / len(first) == pytest.approx(0.3, abs=0.06)  # as unrelated sets have it


@pytest.mark.parametrize(("share", "sent"), [(0.0, 0), (1.0, len(ASKED))])
def test_colserve_at_its_bounds_sends_up_nothing_and_everything(share: float, sent: int) -> None:
    policy = make_policy({**LOT, "share": share}, DEVICE)
    assert sum(not policy.judge(asked, 0.5).keep for asked in ASKED) == sent


PIECES = st.lists(
    st.tuples(st.sampled_from(["random", "line", "equal"]), st.floats(0, 1), st.floats(0, 1)),
    min_size=1,
    max_size=6,
)


def drifting(pieces: list[tuple[str, float, float]]) -> list[float]:
    """Confidences of some 1,500 requests in pieces: unsteady, rising, falling, all equal."""
    draws, count = np.random.default_rng(1), 1500 // len(pieces)
    kinds: dict[str, Callable[[float, float], list[float]]] = {
        "random": lambda low, high: draws.uniform(min(low, high), max(low, high), count).tolist(),
        "line": lambda low, high: np.linspace(low, high, count).tolist(),
        "equal": lambda low, _: [low] * count,
    }
    return [confidence for kind, low, high in pieces for confidence in kinds[kind](low, high)]


@settings(max_examples=60, deadline=None)
@given(PIECES, st.floats(0, 1), st.sampled_from(["requests", "bytes"]), st.integers(0, 99))
def test_any_500_requests_in_a_row_keep_the_budget_to_2_percentage_points_under_drift_too(
    pieces: list[tuple[str, float, float]], share: float, of: str, seed: int
) -> None:
    confidences = drifting(pieces)
    policy = make_policy({"policy": "budget", "share": share, "of": of}, DEVICE)
    sizes = np.random.default_rng(seed).integers(60, 240, len(confidences))
    sent = np.array(
        [
            not policy.judge(Request(f"r{number}", int(size)), confidence).keep
            for number, (size, confidence) in enumerate(zip(sizes, confidences, strict=True))
        ]
    )
    weights = sizes if of == "bytes" else np.ones(len(sizes))
    up, all_of_it = (np.concatenate([[0], np.cumsum(part)]) for part in (sent * weights, weights))
    shares = (up[500:] - up[:-500]) / (all_of_it[500:] - all_of_it[:-500])
    assert np.abs(shares - share).max() <= 0.02


def test_a_budget_is_spent_on_the_least_certain() -> None:
    policy = make_policy({"policy": "budget", "share": 0.3}, DEVICE)
    confidences = np.random.default_rng(1).random(4000)
    sent = np.array([not policy.judge(ASKED[0], confidence).keep for confidence in confidences.tolist()])
    assert sent.mean() == pytest.approx(0.3, abs=0.002)
    assert confidences[sent].mean() < 0.2  # the least certain 30 % have 0.15; by lot it were 0.5
    assert (confidences[sent] > 0.6).mean() < 0.02


def test_the_length_router_passes_long_prompts_on_without_an_inference() -> None:
    policy = make_policy({"policy": "length-router", "longest": {"device": 80, "edge": 160}}, DEVICE)
    assert [policy.passes_on(Request("r", size)) for size in (1, 80, 81)] == [False, False, True]
    assert policy.decide(0.0).keep
    assert not make_policy({"policy": "recserve"}, DEVICE).passes_on(Request("r", 10**6))


RIGHT = {
    tier: [f"{known:03b}" for known in range(8) if known >> level & 1] for level, tier in enumerate(TIERS)
}
"""The request 101 is answered rightly by device and cloud: the device is the last digit."""


@pytest.mark.parametrize(
    ("inferring", "from_device", "from_edge"),
    [
        (TIERS, {"010", "100", "110"}, {"100", "101"}),
        (("device", "cloud"), {"100", "110"}, set()),
    ],
)
def test_an_oracle_sends_up_what_its_tier_has_wrong_and_a_higher_one_right(
    inferring: tuple[str, ...], from_device: set[str], from_edge: set[str]
) -> None:
    given = find_policy("oracle").foreknown(inferring, RIGHT)
    relay = [tier for tier in TIERS if tier not in inferring]
    for place, expected in ((DEVICE, from_device), (EDGE, from_edge)):
        policy = make_policy({"policy": "oracle", **given, "relay": relay}, place)
        if policy.infers:
            ids = [f"{known:03b}" for known in range(8)]
            assert {name for name in ids if not policy.judge(Request(name, 1), 0.5).keep} == expected
    make_policy({"policy": "oracle", **given}, CLOUD)


SPECS: dict[str, dict[str, object]] = {
    "budget": {"of": "bytes"},
    "casserve": {"thresholds": {"device": 0.5}},
    "colserve": {"seed": 1, "method": "lot"},
    "length-router": {"longest": 50},
    "oracle": {"goes_up": {"device": [f"r{number}" for number in range(0, 50, 3)]}},
    "recserve": {},
    "static-quantile": {"thresholds": {"device": 0.5}},
    "device-only": {},
}


@pytest.mark.parametrize("name", SPECS)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 100), st.floats(0, 1), st.integers(1, 100))))
def test_a_policy_looks_at_nothing_but_what_it_says(
    name: str, asked: list[tuple[float, int, float, int]]
) -> None:
    """Whatever else of a request changes, its decisions stay."""
    assert {"device-only", *POLICIES.names} == SPECS.keys()
    spec = {"policy": name, **SPECS[name]}
    first, second = make_policy(spec, DEVICE), make_policy(spec, DEVICE)
    knows = first.knows
    for number, (confidence, size, other_confidence, other_size) in enumerate(asked):
        other = Request(
            f"r{number}" if "request_id" in knows else f"x{number}",
            size if "prompt_bytes" in knows else other_size,
        )
        request = Request(f"r{number}", size)
        assert first.passes_on(request) == second.passes_on(other)
        seen = confidence if "confidence" in knows else other_confidence
        assert first.judge(request, confidence) == second.judge(other, seen)


def test_a_value_may_be_given_for_all_tiers_or_for_each() -> None:
    spec = {**LOT, "share": {"device": 1.0, "edge": 0.0}}
    assert not make_policy(spec, DEVICE).judge(ASKED[0], 0.5).keep
    assert make_policy(spec, EDGE).judge(ASKED[0], 0.5).keep
    make_policy(spec, CLOUD)


def test_under_any_method_a_tier_may_relay() -> None:
    for spec in ({"policy": "recserve"}, LOT, {"policy": "casserve", "thresholds": {"device": 0.8}}):
        assert not make_policy({**spec, "relay": ["edge"]}, EDGE).infers
        assert make_policy({**spec, "relay": ["edge"]}, DEVICE).infers


def test_single_tiers_relay_below_and_keep_from_there_on() -> None:
    spec = {"policy": "edge-only"}
    assert not make_policy(spec, DEVICE).infers
    for place in (EDGE, CLOUD):
        policy = make_policy(spec, place)
        assert policy.infers
        assert policy.decide(0.01).keep


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"policy": "recsrve"}, "no policy 'recsrve'"),
        ({}, "needs the name"),
        ({"policy": "fog-only"}, "no tier fog"),
        ({"policy": "recserve", "beta": 1.5}, "beta must be a number in"),
        ({"policy": "recserve", "beta": "0.3"}, "beta must be a number"),
        ({"policy": "recserve", "enter": "between"}, "enter must be 'before' or 'after', not 'between'"),
        ({"policy": "recserve", "beta": {"edge": 0.3}}, "beta has none for tier device"),
        ({"policy": "recserve", "beta": {"device": 3}}, "beta must be a number in"),
        ({"policy": "recserve", "window": 0}, "window must be a whole number"),
        ({"policy": "recserve", "betta": 0.3}, "takes no betta"),
        ({"policy": "casserve", "thresholds": {"edge": 0.8}}, "none for tier device"),
        ({"policy": "casserve", "thresholds": {"device": 8}}, "thresholds must be a number in"),
        ({"policy": "casserve"}, "thresholds"),
        ({"policy": "colserve", "share": 2, "seed": 1, "method": "x"}, "share must be a number in"),
        ({"policy": "colserve", "share": "x", "seed": 1, "method": "x"}, "share must be a number in"),
        (
            {"policy": "colserve", "share": {"edge": 0.1}, "seed": 1, "method": "x"},
            "share has none for tier dev",
        ),
        ({"policy": "oracle"}, "which answers are right is not known here"),
        ({"policy": "nowhere.py:Class"}, "no plug-in file nowhere.py"),
        ({"policy": "no.such.module:Class"}, "cannot import no.such.module"),
        ({"policy": "tiers.window:SlidingWindow"}, "must derive from tiers.policies.Policy"),
        ({"policy": "tiers.window:Nothing"}, "has no class Nothing"),
    ],
)
def test_wrong_policies_are_refused_with_a_reason(spec: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says.replace(".", r"\.")):
        make_policy(spec, DEVICE)


def test_a_policy_that_draws_nothing_does_not_mind_the_runs_seed() -> None:
    make_policy({"policy": "recserve", "seed": 1, "window": None}, DEVICE)


PLUGIN = """
from dataclasses import dataclass
from tiers.confidence import Confidence
from tiers.policies import Decision, Policy

@dataclass
class Coin:
    side: int

class EverySecond(Policy):
    def __init__(self, place, *, phase=0):
        super().__init__(place)
        self.count = phase

    def decide(self, confidence):
        self.count += 1
        return Decision(keep=self.count % 2 == 0)

class Undecided(Policy):
    pass

class Curious(EverySecond):
    knows = {"confidence", "reference"}

class Foreseeing(EverySecond):
    knows = ["answers"]

class Half(Confidence):
    def of(self, output):
        return 0.5
"""


def test_classes_from_outside_the_repository(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    policy = make_policy({"policy": "mine.py:EverySecond", "phase": 1}, DEVICE, [str(tmp_path)])
    assert isinstance(policy, Policy)
    assert [policy.decide(0.5).keep for _ in range(4)] == [True, False, True, False]
    by_path = make_policy({"policy": f"{tmp_path}/mine.py:EverySecond"}, DEVICE)
    assert not by_path.decide(0.5).keep
    with pytest.raises(ConfigError, match="Undecided decides nothing; give it a method decide"):
        make_policy({"policy": "mine.py:Undecided"}, DEVICE, [str(tmp_path)])
    for asks, what in (("Curious", "reference"), ("Foreseeing", "answers")):
        says = (
            rf"policy mine.py:{asks} asks to know {what}, and a policy may know confidence, request_id, pro"
        )
        with pytest.raises(ConfigError, match=says):
            make_policy({"policy": f"mine.py:{asks}"}, DEVICE, [str(tmp_path)])
    assert make_confidence("mine.py:Half", [str(tmp_path)]).of(Output("x")) == 0.5
