"""What a run is: a scenario's YAML as frozen data, checked before anything starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from testbed.capacity import check_memory
from testbed.consistency import check_links, check_parents, check_shapes, check_tiers, check_unique
from testbed.datasets import DATASETS
from testbed.errors import TestbedError
from testbed.event_checks import check_events
from testbed.event_schema import Event
from testbed.graph_entry import GraphEntry, check_places, with_ways
from testbed.link_entry import LinkEntry
from testbed.methods import Method, MethodName, check_methods
from testbed.overrides import apply_overrides, overridden
from testbed.replay_mode import Replay
from testbed.schema import (
    Count,
    FileContext,
    MemoryBytes,
    Number,
    Section,
    explain,
    find_file,
    mistake,
    name_like,
    nearest,
)
from testbed.tier_models import TierModel
from testbed.topology import CONGESTION, Topology, build_topology, lay_out
from testbed.yamlfile import read_yaml

MAX_NODES = 1000
MAX_REQUESTS = 1_000_000

RunName = Annotated[
    str, name_like(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", "letters, digits, - _ and ., at most 64")
]
# Node names are tier and number, link names child-parent: without dashes and final digits none is ambiguous.
TierName = Annotated[
    str,
    name_like(
        r"[a-z]([a-z0-9_]{0,18}[a-z_])?", "small letters, digits and _, at most 20, no digit at the end"
    ),
]
# As long as the kernel's names may be (TCP_CA_NAME_MAX); which of them it has is found out before a run.
Congestion = Annotated[
    str, name_like(r"[a-z][a-z0-9_]{0,14}", "a kernel's name of a congestion control, such as cubic or bbr")
]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
Requests = Annotated[Count, Field(le=MAX_REQUESTS)]


class Task(Section):
    """What the prompts are and what an answer to them is. ``labels`` default to the data set's."""

    kind: str
    dataset: str
    labels: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _default_labels(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(name := data.get("dataset"), str) and name in DATASETS:
            return {"labels": list(DATASETS[name].labels), **data}
        return data

    @model_validator(mode="after")
    def _fits_the_data_set(self) -> Task:
        if self.dataset not in DATASETS:
            raise mistake(f"no data set {self.dataset!r}; {nearest(self.dataset, DATASETS)}", "dataset")
        dataset = DATASETS[self.dataset]
        if self.kind != dataset.kind:
            raise mistake(f"{self.dataset} is for {dataset.kind}, not {self.kind!r}; write that", "kind")
        if self.labels != dataset.labels:
            raise mistake(
                f"{self.dataset} has the labels [{', '.join(dataset.labels)}]; write those", "labels"
            )
        return self


class Tier(Section):
    """A tier of ``nodes`` like containers, each with that many ``cpus`` (a quota) and that much memory.

    ``parents`` has for each node the number of its parent in the tier above, counted from 1; empty, the rule
    of :func:`testbed.topology.parent_number` holds. ``congestion`` is TCP's control of what its nodes send.
    """

    name: TierName
    nodes: Annotated[Count, Field(le=MAX_NODES)] = 1
    parents: tuple[Count, ...] = ()
    congestion: Congestion = CONGESTION
    model: TierModel
    cpus: Annotated[Number, Field(ge=0.01)]
    memory_bytes: MemoryBytes = Field(validation_alias="memory")

    @model_validator(mode="before")
    @classmethod
    def _as_many_as_have_parents(cls, data: Any) -> Any:
        if isinstance(data, dict) and "nodes" not in data and isinstance(data.get("parents"), list):
            return {"nodes": len(data["parents"]), **data}
        return data


class Arrivals(Section):
    """When requests come, ``rate_per_s`` of them a second.

    ``poisson``: independent, exponential gaps; ``uniform``: one every ``1 / rate_per_s`` seconds.
    """

    process: Literal["poisson", "uniform"] = "poisson"
    rate_per_s: Annotated[Number, Field(gt=0, le=100_000)] = Field(validation_alias="rate")


class DrawnTrace(Section):
    """A trace drawn from the task's data set; ``seed`` seeds policies and links' losses too."""

    kind: ClassVar[Literal["drawn"]] = "drawn"

    requests: Requests
    arrivals: Arrivals
    seed: Seed = 1


class FileTrace(Section):
    """A trace from a file, or its first ``requests``; ``seed`` is for policies and links' losses."""

    kind: ClassVar[Literal["file"]] = "file"

    file: str
    requests: Requests | None = None
    seed: Seed = 1

    @model_validator(mode="before")
    @classmethod
    def _no_arrivals(cls, data: Any) -> Any:
        if isinstance(data, dict) and "arrivals" in data:
            raise mistake("a trace from a file has its own; remove them, or set trace as a whole", "arrivals")
        return data

    @field_validator("file")
    @classmethod
    def _found(cls, file: str, info: ValidationInfo) -> str:
        return find_file(file, info.context)


def _trace_kind(value: Any) -> str:
    from_file = "file" in value if isinstance(value, dict) else isinstance(value, FileTrace)
    return "<file>" if from_file else "<drawn>"


class Scenario(Section):
    """A run as asked for. ``model_dump(mode="json")`` goes into manifests and loads back as it was."""

    name: RunName
    task: Task
    tiers: Annotated[tuple[Tier, ...], Field(min_length=1)]
    links: tuple[LinkEntry, ...] = ()
    methods: Annotated[tuple[Method, ...], Field(min_length=1)]
    trace: Annotated[
        Annotated[DrawnTrace, Tag("<drawn>")] | Annotated[FileTrace, Tag("<file>")],
        Discriminator(_trace_kind),
    ]
    replay: Replay = Replay()
    events: tuple[Event, ...] = ()
    graph: GraphEntry | None = None

    @property
    def seed(self) -> int:
        """Fixes trace, policies, and what becomes of each frame on a link."""
        return self.trace.seed

    @property
    def topology(self) -> Topology:
        """Its nodes and links, laid out anew each time that it is asked."""
        return build_topology(self.tiers, self.links, self.graph)

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
        check_tiers(self.tiers, MAX_NODES)
        check_parents(self.tiers)
        check_links(self.tier_names, self.links)
        check_methods(self.methods, self.tier_names)
        scenario = self
        if self.graph is not None:
            check_places(self.graph, self.tiers)
            scenario = self.model_copy(update={"graph": with_ways(self.graph, lay_out(self.tiers))})
        topology = scenario.topology
        check_shapes(self.links, scenario.graph, topology)
        if self.events:
            check_events(self.events, topology)
        if info.context is not None:  # a manifest must load without the files that its events name
            check_memory(self.links, self.events, topology)
        return scenario


def load_scenario(path: Path | str, overrides: Sequence[str] = ()) -> Scenario:
    """Read and check a scenario's file, after ``key.path=value`` overrides.

    Raises:
        TestbedError: naming the file (or the override), the field, what is wrong and how to mend it.
    """
    path = Path(path)
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise TestbedError(f"{path}: must be a mapping with {', '.join(Scenario.model_fields)}")
    data = apply_overrides(data, overrides)
    context = FileContext(path.resolve().parent)
    try:
        return Scenario.model_validate(data, context=context, by_name=False, by_alias=True)
    except ValidationError as error:
        field, sentence = explain(error, data)
        override = overridden(field, overrides)
        where = f"{path}: --set {override}" if override else str(path)
        raise TestbedError(f"{where}: {field}: {sentence}" if field else f"{where}: {sentence}") from None


def with_methods(scenario: Scenario, names: Sequence[str]) -> Scenario:
    """The scenario with these of its methods alone, in this order.

    Raises:
        TestbedError: a name that is not a method's, is given twice, or none at all.
    """
    known: dict[MethodName, Any] = {method.name: method for method in scenario.methods}
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


def clamp_cpus(scenario: Scenario, cpu_count: int) -> tuple[Scenario, list[str]]:
    """The scenario with no quota above ``cpu_count``, which Docker would refuse, and what was changed."""
    notes = [
        f"tiers.{tier.name}.cpus: {tier.cpus:g} is more than the machine's {cpu_count}; runs with {cpu_count}"
        for tier in scenario.tiers
        if tier.cpus > cpu_count
    ]
    tiers = tuple(
        tier.model_copy(update={"cpus": float(cpu_count)}) if tier.cpus > cpu_count else tier
        for tier in scenario.tiers
    )
    return scenario.model_copy(update={"tiers": tiers}), notes
