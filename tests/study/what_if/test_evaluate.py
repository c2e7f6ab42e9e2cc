"""Many points at once give what one after the other gives, and ten of them are audited."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.study.what_if import evaluate as evaluating
from testbed.study.what_if.evaluate import evaluate
from tests.study.what_if.made import made_study, points_of


def test_processes_give_what_one_gives_in_the_order_of_the_points(monkeypatch: pytest.MonkeyPatch) -> None:
    study = made_study(300)
    points = points_of(study, "recserve", "beta=0.1:0.9:0.1", "window=20,10000")
    alone = evaluate(study, points, Reporter())
    monkeypatch.setattr(evaluating, "_ALONE", 0)
    found = evaluate(study, points, Reporter())
    assert found == alone
    for one, its in zip(found, alone, strict=True):
        assert one.levels is not None
        assert its.levels is not None
        assert np.array_equal(one.levels, its.levels)
    assert [one.figures["point"] for one in alone] == list(range(1, 19))


def test_ten_points_are_audited_drawn_by_the_seed_or_all_of_them() -> None:
    def audited(seed: int, *, every: bool = False) -> list[int]:
        study = made_study(60, seed=seed)
        found = evaluate(study, points_of(study, "recserve", "beta=0:1:0.04"), Reporter(), all_audited=every)
        return [one.figures["point"] for one in found if one.audit is not None]

    assert len(audited(1)) == 10
    assert audited(1) == audited(1) != audited(2)
    assert audited(1, every=True) == list(range(1, 27))


def test_what_goes_wrong_in_a_process_is_one_sentence_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(
        "from tiers.policies import Policy\n"
        "class Broken(Policy):\n    def __init__(self, place, *, n=1): super().__init__(place)\n"
        "    def decide(self, c): raise KeyError('x')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evaluating, "_ALONE", 0)
    study = made_study(30)
    with pytest.raises(TestbedError, match=r"policy .*Broken: KeyError: 'x'"):
        evaluate(study, points_of(study, "mine.py:Broken", "n=1,2"), Reporter())


def test_a_process_that_is_killed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(
        "import os\nfrom tiers.policies import Policy\n"
        "class Killed(Policy):\n    def __init__(self, place, *, n=1): super().__init__(place)\n"
        "    def decide(self, c): os.kill(os.getpid(), 9)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evaluating, "_ALONE", 0)
    study = made_study(30)
    with pytest.raises(TestbedError, match=r"a process that evaluated points was killed"):
        evaluate(study, points_of(study, "mine.py:Killed", "n=1,2"), Reporter())
