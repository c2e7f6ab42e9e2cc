"""What a run is: a scenario's YAML as frozen data, checked before anything starts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, ValidationInfo, model_validator

from testbed.errors import TestbedError
from testbed.host.files import require_utf8
from testbed.scenario.capacity import check_memory
from testbed.scenario.checks import (
    check_batches,
    check_links,
    check_models,
    check_parents,
    check_prices,
    check_shapes,
    check_skips,
    check_tiers,
    check_unique,
)
from testbed.scenario.event_checks import check_events
from testbed.scenario.layout import build_topology, lay_out
from testbed.scenario.patience import check_patience
from testbed.scenario.reading.mistakes import explain, nearest
from testbed.scenario.reading.overrides import apply_overrides, overridden
from testbed.scenario.reading.yamlfile import parse_yaml, yaml_text
from testbed.scenario.sections.calibration import CalibrationSplit
from testbed.scenario.sections.events import AnyEvent
from testbed.scenario.sections.graph import GraphEntry, check_places, with_ways
from testbed.scenario.sections.links import LinkEntry
from testbed.scenario.sections.methods import AnyMethod, Method, check_calibrated, check_methods, check_shared
from testbed.scenario.sections.replay import Replay
from testbed.scenario.sections.section import FileContext, NameLike, Section
from testbed.scenario.sections.task import Task
from testbed.scenario.sections.tiers import MAX_NODES, MAX_PREDICTED_NODES, Tier
from testbed.scenario.sections.trace import MAX_REQUESTS, Trace
from testbed.scenario.topology import Topology

Captures = Literal["keep", "compress", "discard"]
RESOLVED = "scenario.yaml"
"""In a run's directory: its scenario, with every default written out."""
RunName = Annotated[
    str, NameLike(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", "letters, digits, - _ and ., at most 64")
]


class Scenario(Section):
    """A run as asked for. ``model_dump(mode="json")`` goes into manifests and loads back as it was."""

    name: RunName
    task: Task
    tiers: Annotated[tuple[Tier, ...], Field(min_length=1)]
    links: tuple[LinkEntry, ...] = ()
    methods: Annotated[tuple[AnyMethod, ...], Field(min_length=1)]
    trace: Trace
    replay: Replay = Replay()
    events: tuple[AnyEvent, ...] = ()
    graph: GraphEntry | None = None
    calibration: CalibrationSplit | None = None
    when_unreachable: Literal["keep", "skip"] = "keep"
    """Keep the best answer so far, or skip the tier and ask the one above it."""
    captures: Captures = "keep"
    """What is done with a method's captures once they were accounted for."""

    @property
    def seed(self) -> int:
        """Fixes trace, policies, and what becomes of each frame on a link."""
        return self.trace.seed

    @property
    def topology(self) -> Topology:
        """Its nodes and links, laid out anew each time that it is asked."""
        return build_topology(self.tiers, self.links, self.graph, skips=self.when_unreachable == "skip")

    @property
    def tier_names(self) -> list[str]:
        return [tier.name for tier in self.tiers]

    def tier(self, name: str) -> Tier:
        return next(tier for tier in self.tiers if tier.name == name)

    def link_between(self, lower: str, upper: str) -> LinkEntry:
        """The entry for two neighbouring tiers, which every validated scenario has."""
        return next(link for link in self.links if set(link.between) == {lower, upper})

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> Scenario:
        check_unique("tiers", self.tier_names)
        check_unique("links", [link.name for link in self.links])
        check_unique("methods", [method.name for method in self.methods])
        emulated = info.context is None or info.context.emulated
        check_tiers(self.tiers, MAX_NODES if emulated else MAX_PREDICTED_NODES)
        check_models(self.tiers, self.task)
        check_parents(self.tiers)
        check_prices(self.tiers)
        check_links(self.tier_names, self.links)
        check_methods(self.methods, self.tier_names)
        check_calibrated(self.methods, self.task.kind, self.calibration)
        check_batches(self.tiers, self.methods, self.replay)
        check_shared(self.methods, self.replay, self.events)
        check_skips(self.when_unreachable, self.tier_names)
        scenario = self
        if self.graph is not None:
            check_places(self.graph, self.tiers)
            scenario = self.model_copy(update={"graph": with_ways(self.graph, lay_out(self.tiers))})
        topology = scenario.topology
        check_shapes(self.links, scenario.graph, topology)
        if self.events:
            check_events(self.events, topology)
        if info.context is not None:  # a manifest must load without the files that its events name
            if emulated:
                check_memory(self.links, self.events, topology)
            check_patience(self.links, topology, self.replay.deadline_s)
        return scenario


def load_scenario(
    path: Path | str,
    overrides: Sequence[str] = (),
    *,
    methods: Sequence[str] | None = None,
    requests: int | None = None,
    seed: int | None = None,
    emulated: bool = True,
) -> Scenario:
    """Read and check a scenario's file, or that in a run's directory, after ``key.path=value`` overrides.

    Args:
        methods: only these of its methods, in this order (:func:`with_methods`).
        requests: another number of requests (:func:`with_requests`).
        seed: another seed (:func:`with_seed`).
        emulated: its network is to be brought up, and must fit one machine.

    Raises:
        TestbedError: naming the file (or the override), the field, what is wrong and how to mend it.
    """
    scenario = _read(scenario_file(Path(path)), overrides, emulated=emulated)
    if methods is not None:
        scenario = with_methods(scenario, methods)
    if requests is not None:
        scenario = with_requests(scenario, requests)
    if seed is not None:
        scenario = with_seed(scenario, seed)
    return scenario


def scenario_file(path: Path) -> Path:
    """The file of a scenario, which may be named by the directory of a run.

    Raises:
        TestbedError: it is a directory without one.
    """
    if not os.path.isdir(path):  # noqa: PTH112  of a name that cannot be it says no, where Path raises
        return path
    if not (path / RESOLVED).is_file():
        raise TestbedError(
            f"{path}: is a directory without {RESOLVED}, which runs leave; name a scenario's file"
        )
    return path / RESOLVED


def _read(path: Path, overrides: Sequence[str], *, emulated: bool) -> Scenario:
    require_utf8(path.absolute(), "SCENARIO")
    text = yaml_text(path)
    try:
        data = parse_yaml(text)
    except TestbedError as error:
        raise TestbedError(f"{path}:{error}") from None
    if not isinstance(data, dict):
        raise TestbedError(f"{path}: must be a mapping with {', '.join(Scenario.model_fields)}")
    data = apply_overrides(data, overrides)
    context = FileContext(path.resolve().parent, emulated)
    try:
        return Scenario.model_validate(data, context=context, by_name=False, by_alias=True)
    except ValidationError as error:
        written = apply_overrides(parse_yaml(text, as_written=True), overrides, as_written=True)
        field, sentence = explain(error, data, written)
        override = overridden(field, overrides)
        where = f"{path}: --set {override}" if override else str(path)
        raise TestbedError(f"{where}: {field}: {sentence}" if field else f"{where}: {sentence}") from None


def with_methods(scenario: Scenario, names: Sequence[str]) -> Scenario:
    """The scenario with these of its methods alone, in this order.

    Raises:
        TestbedError: a name that is not a method's, is given twice, or none at all.
    """
    known: dict[str, Method] = {method.name: method for method in scenario.methods}
    for name in names:
        if name not in known:
            raise TestbedError(
                f"--methods: scenario {scenario.name} has no method {name!r}; {nearest(name, known)}"
            )
    if not names or len(set(names)) < len(names):
        raise TestbedError(f"--methods: give each of {', '.join(known)} at most once and one at least")
    return scenario.model_copy(update={"methods": tuple(known[name] for name in names)})


def with_requests(scenario: Scenario, requests: int) -> Scenario:
    """The scenario with that many requests: a drawn trace's, or the first of a file's.

    Raises:
        TestbedError: less than one, or more than ``MAX_REQUESTS``.
    """
    if not 1 <= requests <= MAX_REQUESTS:
        raise TestbedError(f"--requests: {requests} is not between 1 and {MAX_REQUESTS}")
    return scenario.model_copy(update={"trace": scenario.trace.model_copy(update={"requests": requests})})


def with_seed(scenario: Scenario, seed: int) -> Scenario:
    """The scenario with another seed for trace, policies and links' losses.

    Raises:
        TestbedError: negative, or beyond 63 bits.
    """
    if not 0 <= seed < 2**63:
        raise TestbedError(f"--seed: {seed} is not between 0 and {2**63 - 1}")
    return scenario.model_copy(update={"trace": scenario.trace.model_copy(update={"seed": seed})})


def with_captures(scenario: Scenario, unless_given: Captures) -> Scenario:
    """The scenario with this use of captures, unless its file or an override says one."""
    if "captures" in scenario.model_fields_set:
        return scenario
    return scenario.model_copy(update={"captures": unless_given})


def clamp_cpus(scenario: Scenario, cpu_count: float) -> tuple[Scenario, list[str]]:
    """The scenario with no quota above ``cpu_count``, which no container gets, and what was changed."""
    notes = [
        f"tiers.{tier.name}.cpus: {tier.cpus:g} is more than the machine's {cpu_count:g}; "
        f"runs with {cpu_count:g}"
        for tier in scenario.tiers
        if tier.cpus > cpu_count
    ]
    tiers = tuple(
        tier.model_copy(update={"cpus": float(cpu_count)}) if tier.cpus > cpu_count else tier
        for tier in scenario.tiers
    )
    return scenario.model_copy(update={"tiers": tiers}), notes
