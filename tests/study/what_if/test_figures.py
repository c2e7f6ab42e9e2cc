"""Bytes and burdens of a point by hand, and as a run's own functions count the same rows."""

from __future__ import annotations

import numpy as np
import pytest

from testbed.results.burden import burden_paper_bytes
from testbed.study.what_if.audit import recorded_rows
from testbed.study.what_if.figures import figures
from testbed.study.what_if.replay import replay
from tests.study.what_if.made import made_study, points_of


def test_each_prompt_crosses_every_hop_below_the_tier_that_answers_and_its_answer_comes_down_them() -> None:
    study = made_study(40)
    (point,) = points_of(study, "recserve")
    levels = np.arange(40) % 3
    found = figures(study, point, levels)
    prompts = study.prompt_bytes[study.places]
    assert found["prompt_bytes_device"] == sum(prompts[at] for at in range(40) if at % 3)
    assert found["prompt_bytes_edge"] == sum(prompts[at] for at in range(40) if at % 3 == 2)
    assert found["prompt_bytes"] == found["prompt_bytes_device"] + found["prompt_bytes_edge"]
    answers = [list(study.tiers.values())[at % 3].answers[study.places[at]] for at in range(40)]
    assert found["answer_bytes_device"] == sum(len(answers[at]) for at in range(40) if at % 3)
    assert found["answer_bytes_edge"] == sum(len(answers[at]) for at in range(40) if at % 3 == 2)
    assert (found["served_by_device"], found["served_by_edge"], found["served_by_cloud"]) == (14, 13, 13)
    assert (found["share_up_device"], found["share_up_edge"]) == (26 / 40, 13 / 40)
    assert found["burden_vs_cloud_only"] == found["prompt_bytes"] / (2 * prompts.sum())
    assert found["burden_vs_direct_cloud"] == found["prompt_bytes"] / prompts.sum()
    longer = prompts[levels > 1].mean() / prompts.mean()
    assert found["length_ratio_edge"] == pytest.approx(longer)
    right = [answer == study.references[place] for answer, place in zip(answers, study.places, strict=True)]
    assert found["accuracy"] == sum(right) / 40


@pytest.mark.parametrize("policy", ["recserve", "cloud-only", "edge-only", "device-only"])
def test_the_papers_burden_is_that_of_a_runs_rows(policy: str) -> None:
    study = made_study(60)
    (point,) = points_of(study, policy)
    levels, rows = recorded_rows(study, point)
    found = figures(study, point, levels)
    tiers = list(study.tiers)
    assert found["burden_paper_bytes"] == burden_paper_bytes(point.method, tiers, rows)
    (alone,) = points_of(study, "cloud-only")
    direct = burden_paper_bytes(alone.method, tiers, recorded_rows(study, alone)[1])
    assert direct
    assert found["burden_paper_vs_cloud_only"] == found["burden_paper_bytes"] / direct


def test_the_top_tier_alone_is_its_own_burden() -> None:
    study = made_study(30)
    (point,) = points_of(study, "cloud-only")
    found = figures(study, point, replay(study, point))
    assert found["burden_vs_cloud_only"] == found["burden_paper_vs_cloud_only"] == 1
    assert found["burden_vs_direct_cloud"] == 2
    assert found["accuracy_vs_lot"] is None


def test_a_single_tier_has_no_hop_and_no_burden() -> None:
    from pathlib import Path

    from testbed.study.what_if.matrices import Wanted, study_of_matrices
    from tests.study.what_if.made import made_matrix

    study = study_of_matrices([(Path("one.parquet"), made_matrix(20, ["cloud"]))], Wanted())
    (point,) = points_of(study, "cloud-only")
    found = figures(study, point, replay(study, point))
    assert (found["prompt_bytes"], found["burden_vs_cloud_only"], found["burden_paper_vs_cloud_only"]) == (
        0,
        None,
        None,
    )
