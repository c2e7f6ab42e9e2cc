"""A scenario's ``tiers``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from testbed.scenario.sections.engines import EngineEntry
from testbed.scenario.sections.models import AnyModel
from testbed.scenario.sections.price import Price
from testbed.scenario.sections.section import Count, MemoryBytes, NameLike, Number, Section, WaitMs
from testbed.scenario.topology import CONGESTION

MAX_NODES = 1000
"""Of a network that is emulated, all tiers together."""
MAX_PREDICTED_NODES = 50_000
"""Of one that is only predicted."""
MAX_BATCH = 256
SERVER_CPUS, SERVER_MEMORY_BYTES = 0.1, 256 << 20
"""Of a node's own server where the tier's CPUs and memory are those of its engine. It had 221 MiB at most,
with 500 requests outstanding and the records of 200,000.
"""
# Node names are tier and number, link names child-parent: without dashes and final digits none is ambiguous.
TierName = Annotated[
    str,
    NameLike(
        r"[a-z]([a-z0-9_]{0,18}[a-z_])?", "small letters, digits and _, at most 20, no digit at the end"
    ),
]
# As long as the kernel's names may be (TCP_CA_NAME_MAX); which of them it has is found out before a run.
Congestion = Annotated[
    str, NameLike(r"[a-z][a-z0-9_]{0,14}", "a kernel's name of a congestion control, such as cubic or bbr")
]


class Tier(Section):
    """A tier of ``nodes`` like containers, each with that many ``cpus`` (a quota) and that much memory.

    ``parents`` has for each node the number of its parent in the tier above, counted from 1; empty, the rule
    of :func:`testbed.scenario.layout.parent_number` holds. ``congestion`` is TCP's control of what its nodes
    send. The model answers up to ``batch`` requests together, of which the first waits for others until it
    has waited ``wait_ms``. ``price`` says what its nodes' tokens and CPU seconds cost.
    """

    name: TierName
    nodes: Annotated[Count, Field(le=MAX_PREDICTED_NODES)] = 1
    parents: tuple[Count, ...] = ()
    congestion: Congestion = CONGESTION
    model: AnyModel
    cpus: Annotated[Number, Field(ge=0.01)]
    memory_bytes: MemoryBytes = Field(validation_alias="memory")
    batch: Annotated[Count, Field(le=MAX_BATCH)] = 1
    wait_ms: WaitMs = Field(default=0.0, validation_alias="wait")
    price: Price | None = None

    @property
    def has_engine(self) -> bool:
        """Whether each node has an engine behind it that the testbed starts."""
        return isinstance(self.model, EngineEntry)

    @property
    def node_cpus(self) -> float:
        """The CPUs that a node may use with all its containers."""
        return self.cpus + SERVER_CPUS * self.has_engine

    @property
    def node_memory_bytes(self) -> int:
        """The memory that a node may use with all its containers."""
        return self.memory_bytes + SERVER_MEMORY_BYTES * self.has_engine

    @model_validator(mode="before")
    @classmethod
    def _as_many_as_have_parents(cls, data: Any) -> Any:
        if isinstance(data, dict) and "nodes" not in data and isinstance(data.get("parents"), list):
            return {"nodes": len(data["parents"]), **data}
        return data
