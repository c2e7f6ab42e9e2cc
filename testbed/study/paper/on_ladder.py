"""One ladder in a call: its recording, and what was made of it for its claims and figures."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testbed.console import Quiet, Reporter
from testbed.errors import TestbedError
from testbed.host.processes.program import explained
from testbed.results.frontier import Frontier
from testbed.study.paper import wire
from testbed.study.paper.claims import Grid, OnWire
from testbed.study.paper.ladders import OTHER_CLOUD, Ladder, Recorded, recorded
from testbed.study.paper.options import Options
from testbed.study.paper.phases import Phases
from testbed.study.paper.verdicts import NotTestable
from testbed.study.what_if.frontier import frontiers_of
from testbed.study.what_if.matrices import Wanted
from testbed.study.what_if.predict import WhatIf, what_if_grid

FAILURES = "failures.log"
"""Tracebacks of evidence that ended in a defect."""


@dataclass
class OnLadder:
    """What was made of one ladder: shared by its claims, and drawn in the figures."""

    ladder: Ladder
    options: Options
    phases: Phases
    reporter: Reporter
    grids: dict[tuple[object, ...], WhatIf] = field(default_factory=dict)
    sweeps: dict[str, list[Any]] = field(default_factory=dict)
    failed: dict[str, TestbedError] = field(default_factory=dict)
    found: Recorded | None = None
    lacking: str = ""
    """Why there is no recording, in a sentence."""

    @property
    def rising(self) -> str:
        """Whether the ladder rises, in words."""
        if self.found is None:
            return f"not there: {self.lacking}"
        steps = "; ".join(step.words for step in self.found.steps)
        return f"{'does not rise' if self.found.lacks else 'rises'}, {self.found.requests:,} prompts: {steps}"

    def record(self) -> None:
        """Make sure of the recording, or note why there is none."""
        with self.phases.timed(f"record {self.ladder.name}"):
            try:
                folder = self.options.out / "recordings"
                self.found = recorded(
                    self.ladder, folder, self.options.limit, self.options.device, self.reporter
                )
            except Exception as error:  # whatever a model or a hub's library raises
                self.lacking = self.told(error, "its recording")
                self.reporter.say(f"{self.ladder.name}: {self.lacking}")

    def told(self, error: Exception, of: str) -> str:
        """What happened, in a sentence; of a defect, its traceback is kept."""
        if sentence := explained(error):
            return sentence
        with (self.options.out / FAILURES).open("a") as log:
            log.write(f"{self.ladder.name}, {of}\n{traceback.format_exc()}\n")
        return f"{type(error).__name__}: {error}"

    def grid(self, evidence: Grid) -> WhatIf:
        """The what-if of some evidence, once for all claims that rest on the same."""
        tiers = self.tiers(evidence)
        key = (*evidence.policies, *evidence.settings, tiers)
        if key not in self.grids:
            assert self.found is not None
            found = what_if_grid(
                [self.found.matrix], evidence.policies, evidence.settings, Wanted(tiers=tiers), Quiet()
            )
            found.check()
            self.grids[key] = found
        return self.grids[key]

    def tiers(self, evidence: Grid) -> str:
        """The tiers with their models, as ``--tiers`` has them."""
        assert self.found is not None
        names = list(self.found.tiers)
        if not evidence.other_cloud:
            return ",".join(names)
        if self.found.has_other_cloud:
            return ",".join([*names[:-1], f"{names[-1]}={OTHER_CLOUD}"])
        return f"{names[0]},{names[-1]}={names[-2]}"  # of two tiers: there is no fourth model

    def frontier(self) -> Frontier | None:
        """Quality against burden of the methods that are compared, if that was made."""
        for key, found in self.grids.items():
            if "casserve" in key:
                return frontiers_of(found).frontiers[0]
        return None

    def swept(self, evidence: OnWire) -> list[Any]:
        """The runs of a sweep, once for all claims that rest on it."""
        if evidence.kind in self.failed:
            raise self.failed[evidence.kind]
        if evidence.kind not in self.sweeps:
            assert self.found is not None
            if self.options.wire_refused:
                raise NotTestable(self.options.wire_refused)
            if self.options.quick and evidence.kind == wire.UNREACHABLE:
                raise NotTestable("left out by --quick")
            wire.require_host()
            path, seeds = self.scenario_path(evidence), self.seeds(evidence)
            tiers = {tier: tier for tier in self.found.tiers}
            requests = self.options.requests(evidence.kind)
            wanted = wire.write_scenario(evidence.kind, self.found.matrix, tiers, requests, seeds, path)
            try:
                self.sweeps[evidence.kind] = wire.swept(wanted, path.with_suffix(""), self.reporter)
            except TestbedError as error:
                self.failed[evidence.kind] = error
                raise
        return self.sweeps[evidence.kind]

    def scenario_path(self, evidence: OnWire) -> Path:
        """Where the scenario of a sweep is written."""
        return self.options.out / "wire" / f"{self.ladder.name}-{evidence.kind}.yaml"

    def seeds(self, evidence: OnWire) -> int:
        """Of how many seeds a sweep has traces."""
        return 1 if evidence.kind == wire.UNREACHABLE else self.options.seeds
