"""``testbed what-if``: what methods would do, from recorded answers alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.results.directory import RunDirectory
from testbed.results.scorers import Scorer
from testbed.scenario.matrix import read_matrix
from testbed.scenario.scenario import Scenario, with_methods
from testbed.study.what_if.beside import beside, check_trace
from testbed.study.what_if.evaluate import Evaluated, evaluate
from testbed.study.what_if.figures import Figures
from testbed.study.what_if.grid import grid
from testbed.study.what_if.matrices import Wanted, study_of_matrices
from testbed.study.what_if.output import check_out, write_points
from testbed.study.what_if.scenarios import study_of_scenario
from testbed.study.what_if.study import Ints, Point, Study
from testbed.study.what_if.unlike import unlike

__all__ = [
    "Wanted",
    "WhatIf",
    "check_options",
    "check_out",
    "kind_of",
    "scenario_of",
    "what_if_grid",
    "what_if_scenario",
]

POLICY = "recserve"
"""Evaluated unless others are named."""
Kind = Literal["matrices", "scenario", "run"]
_OPTIONS: dict[Kind, set[str]] = {
    "matrices": {"policy", "set", "tiers", "nodes", "calibration", "requests", "seed"},
    "scenario": {"set", "methods", "requests", "seed", "against", "queues"},
    "run": {"methods"},
}
"""By what is evaluated, the options that say something of it."""


def kind_of(what: Sequence[Path]) -> Kind:
    """What the arguments are: answer matrices, one scenario, or the directory of one run.

    Raises:
        TestbedError: several of different kinds.
    """
    if all(path.suffix == ".parquet" for path in what):
        return "matrices"
    if len(what) > 1:
        raise TestbedError(
            f"{what[0]}, {what[1]}: give one scenario, one run, or any number of answer matrices (.parquet)"
        )
    return "run" if what[0].is_dir() else "scenario"


def check_options(kind: Kind, given: Sequence[str]) -> None:
    """Refuse options that say nothing of what is evaluated.

    Raises:
        TestbedError: there is one.
    """
    for name in given:
        if name not in _OPTIONS[kind]:
            others = [other for other, options in _OPTIONS.items() if name in options]
            raise TestbedError(f"--{name}: is for {' or '.join(others)}; leave it out")


@dataclass(frozen=True)
class WhatIf:
    """All points, with what was audited of them, and what a run measured of them, if one was given.

    ``audited`` is a sentence for the user; ``differences`` one for each decision that the rules have
    otherwise. ``served`` has for each point the tier, from 0, that answers each request; it is empty where
    there are more points than make a frontier.
    """

    title: str
    study: Study
    points: Sequence[Figures]
    audited: str
    differences: Sequence[str]
    beside: Sequence[tuple[Figures, Figures]] = ()
    served: Sequence[tuple[Point, Ints]] = ()

    @property
    def scorer(self) -> Scorer:
        return self.study.scorer

    @property
    def tiers(self) -> list[str]:
        return list(self.study.tiers)

    def write(self, path: Path) -> None:
        """Write all figures as CSV or Parquet."""
        write_points(path, self.points)

    def check(self) -> None:
        """Raise a :class:`~testbed.errors.TestbedError` if the audit found a difference."""
        if self.differences:
            raise TestbedError(
                f"{len(self.differences)} decisions are not what the rules have, so do not rely on the "
                "figures; please report it"
            )


def what_if_grid(
    paths: Sequence[Path],
    policies: Sequence[str] | None,
    settings: Sequence[str],
    wanted: Wanted,
    reporter: Reporter,
    *,
    all_audited: bool = False,
) -> WhatIf:
    """Evaluate a grid of points over answer matrices.

    Raises:
        TestbedError: matrices, options or values do not fit.
    """
    study = study_of_matrices([(path, read_matrix(path)) for path in paths], wanted)
    points = grid(policies or [POLICY], settings, study.scenario, len(study.trace))
    return _concluded(study, points, reporter, all_audited)


def what_if_scenario(
    scenario: Scenario, reporter: Reporter, *, against: RunDirectory | None = None, all_audited: bool = False
) -> WhatIf:
    """Predict what a run of a scenario with recorded tiers would do, method by method, in lockstep.

    Raises:
        TestbedError: a tier is not recorded, its file does not fit the trace, or the run to hold it against
            had another trace.
    """
    study = study_of_scenario(scenario)
    if against is not None:
        check_trace(study, against)
        study = replace(study, notes=[*study.notes, *unlike(scenario, against)])
    points = [Point(number, method) for number, method in enumerate(scenario.methods, start=1)]
    found = _concluded(study, points, reporter, all_audited)
    if against is not None:
        found = replace(found, beside=beside(study, points, found.points, against))
    return found


def scenario_of(directory: RunDirectory, methods: Sequence[str] | None = None) -> Scenario:
    """The scenario that a run replayed, or these of its methods.

    Raises:
        TestbedError: its manifest is missing or damaged, or it has no such method.
    """
    with directory.understood():
        scenario = directory.read_scenario()
    return scenario if methods is None else with_methods(scenario, methods)


def _concluded(study: Study, points: Sequence[Point], reporter: Reporter, all_audited: bool) -> WhatIf:
    for note in study.notes:
        reporter.say(note)
    found = evaluate(study, points, reporter, all_audited=all_audited)
    differences = [text for one in found if one.audit for text in one.audit.differences]
    title = (
        f"{len(points):,} point{'s' * (len(points) > 1)} of {len(study.trace):,} requests, "
        f"{len(np.unique(study.places)):,} prompts of {study.trace[0].dataset}, "
        f"seed {study.scenario.seed}"
    )
    served = [(point, one.levels) for point, one in zip(points, found, strict=True) if one.levels is not None]
    return WhatIf(title, study, [one.figures for one in found], _audited(found), differences, served=served)


def _audited(found: Sequence[Evaluated]) -> str:
    """What was audited, in one line."""
    audits = [one.audit for one in found if one.audit is not None]
    ruled = [audit for audit in audits if audit.ruled]
    decisions = sum(audit.decisions for audit in ruled)
    differing = sum(bool(audit.differences) for audit in ruled)
    line = f"audited {len(ruled):,} of {len(found):,} points, {decisions:,} decisions: "
    line += f"points with differences: {differing}" if differing else "no difference"
    if unruled := len(audits) - len(ruled):
        line += f"; without a rule to audit their policies by: {unruled}"
    return line
