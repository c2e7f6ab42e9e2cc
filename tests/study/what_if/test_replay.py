"""The policies decide as their rules say, over recorded answers, node by node."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from testbed.errors import TestbedError
from testbed.study.what_if.replay import replay
from tests.study.what_if.made import made_study, points_of

PLUGIN = '''
from tiers.policies import Decision, Policy


class Odd(Policy):
    """Sends up every so-many-th request; as a class of a user's does."""

    def __init__(self, place, *, every=2):
        super().__init__(place)
        self.every, self.seen = every, 0

    def decide(self, confidence):
        self.seen += 1
        return Decision(keep=self.seen % self.every != 0)


class Reader(Policy):
    knows = ("prompt",)

    def judge(self, request, confidence):
        return Decision(keep="film" in request.prompt)


class Broken(Policy):
    def decide(self, confidence):
        raise KeyError("nothing")


class Leaving(Policy):
    def decide(self, confidence):
        raise SystemExit(0)


class Failing(Broken):
    def __init__(self, place):
        raise RuntimeError("no way")


class Yes(Policy):
    def decide(self, confidence):
        return Decision("yes")
'''


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("enter", ["before", "after"])
def test_recserve_is_the_rule_of_the_paper_with_a_window_for_each_node_or_tier(
    enter: str, shared: bool
) -> None:
    study = made_study(400, nodes="3,2,1")
    (point,) = points_of(
        study, "recserve", "beta=0.4", "window=50", f"enter={enter}", f"scope={'tier' if shared else 'node'}"
    )
    confidences = study.request_confidences(point)
    windows: defaultdict[str, list[float]] = defaultdict(list)
    parents = {"device1": "edge1", "device2": "edge2", "device3": "edge2"}  # ceil(child * 2 / 3)
    expected = []
    for at, request in enumerate(study.trace):
        for node in (request.device, parents[request.device], "cloud1"):
            confidence, window = confidences[node[:-1]][at], windows[node[:-1] if shared else node]
            if node == "cloud1":
                break
            seen = [*window, confidence] if enter == "before" else window
            threshold = np.percentile(seen[-50:], 40) if len(seen[-50:]) >= 2 else -1
            window.append(confidence)
            if not confidence < threshold:
                break
        expected.append(["device", "edge", "cloud"].index(node[:-1]))
    assert replay(study, point).tolist() == expected
    assert len(set(expected)) == 3


def test_a_tier_that_relays_answers_nothing() -> None:
    study = made_study(200)
    (point,) = points_of(study, "recserve", "relay=[edge]")
    assert set(replay(study, point).tolist()) == {0, 2}


def test_one_tier_alone_answers_all() -> None:
    study = made_study(50)
    for level, tier in enumerate(("device", "edge", "cloud")):
        (point,) = points_of(study, f"{tier}-only")
        assert set(replay(study, point).tolist()) == {level}


def test_the_oracle_sends_up_what_a_higher_tier_alone_has_right() -> None:
    study = made_study(200)
    (point,) = points_of(study, "oracle")
    expected = []
    for place in study.places:
        right = [tier.answers[place] == study.references[place] for tier in study.tiers.values()]
        expected.append(right.index(True) if any(right) else 0)
    assert replay(study, point).tolist() == expected


def test_a_policy_of_a_users_own_decides_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    study = made_study(90, nodes="1,1,1")
    second, third = points_of(study, "mine.py:Odd", "every=2,3")
    assert replay(study, second).tolist()[:8] == [0, 1, 0, 2, 0, 1, 0, 2]
    assert np.bincount(replay(study, third)).tolist() == [60, 20, 10]


def test_a_policy_that_asks_for_a_prompt_or_fails_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    study = made_study(20)
    with pytest.raises(TestbedError, match=r"mine\.py:Reader asks for the prompt, and a matrix has no texts"):
        replay(study, points_of(study, "mine.py:Reader")[0])
    with pytest.raises(TestbedError, match=r"policy .*mine\.py:Broken: KeyError: 'nothing'"):
        replay(study, points_of(study, "mine.py:Broken")[0])
    for name, says in (
        ("Leaving", "SystemExit: 0"),
        ("Failing", "RuntimeError: no way"),
        ("Yes", "ValueError: the policy's keep is of type str, and neither true nor false"),
    ):
        with pytest.raises(TestbedError, match=rf"policy .*mine\.py:{name}: {says}"):
            replay(study, points_of(study, f"mine.py:{name}")[0])
    with pytest.raises(TestbedError, match=r"takes no wrong"):
        replay(study, points_of(study, "mine.py:Odd", "wrong=1")[0])
