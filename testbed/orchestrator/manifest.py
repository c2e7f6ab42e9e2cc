"""Writes ``manifest.json``, what a run is and how far it came, and ``scenario.yaml``, to run it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from testbed.host.cgroup_limits import container_limits, own_limits
from testbed.host.facts import host_facts, package_version
from testbed.host.fingerprints import sha256_of
from testbed.host.ggufs import gguf_file
from testbed.orchestrator.observe import Observation
from testbed.orchestrator.phases import Phases
from testbed.orchestrator.prepare import Inputs, Parts
from testbed.results.columns import SCHEMA_VERSION
from testbed.results.directory import RunDirectory, utc_now
from testbed.results.ended import FINISHED, RUNNING, told
from testbed.results.evidence import BrokenOff
from testbed.scenario.scenario import RESOLVED
from testbed.scenario.sections.engines import EngineEntry
from testbed.scenario.written import scenario_yaml, schema_line

_REPLAYED = (
    "# file, and makes the same trace, fates of frames and, in lockstep, decisions, as long as what\n"
    "# it names is unchanged.\n"
)
_ASKED = "# file, and replays the trace that it describes; what was asked here is not in it.\n"


class Manifest:
    """The manifest of a run; the file is written again whenever something is added.

    Nothing is written before :meth:`begin`, so that no file says that a run goes on which nobody will end.

    Args:
        made_by: the command, where no trace is replayed.

    Attributes:
        phases: how long each took so far; written when the run ends.
    """

    def __init__(
        self,
        directory: RunDirectory,
        run_id: str,
        inputs: Inputs,
        parts: Parts,
        made_by: str | None = None,
    ) -> None:
        image, models = parts.image, parts.models
        self.directory, self.run_id = directory, run_id
        self.sources = parts.sources
        self.phases = Phases()
        self._replayed, self._as_asked = inputs.judged, inputs.as_asked
        self._fields: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "status": RUNNING,
            "run_id": run_id,
            "started_at": utc_now(),
            "scenario": inputs.scenario.model_dump(mode="json"),
            "links": [asdict(link) for link in inputs.topology.links],
            "seed": inputs.scenario.seed,
            "datasets": list(inputs.datasets),
            "files": [source.to_json() for source in parts.sources],
            "notes": list(inputs.notes),
            "clock_offsets_ns": {},
            "started_ns": {},
            "image": asdict(image),
            "models": None if models is None else models.name,
            "engines": {
                tier.name: {"gguf": tier.model.gguf, "sha256": sha256_of(gguf_file(tier.model.gguf))}
                for tier in inputs.scenario.tiers
                if isinstance(tier.model, EngineEntry)
            },
            "host": {
                **host_facts(),
                "limits": {"shell": own_limits().to_json(), "containers": container_limits().to_json()},
            },
            **({} if made_by is None else {"made_by": made_by}),
        }

    def begin(self) -> None:
        """Write both files; the scenario first, for it may find no room on the disk."""
        self.directory.write_text(RESOLVED, self._head() + scenario_yaml(self._as_asked))
        self.add()

    def _head(self) -> str:
        """What a person should know who opens the scenario's file."""
        version, commit = package_version("llm-testbed"), self._fields["host"]["commit"]
        made_by = f"llm-testbed {version}" + (f" at commit {commit}" if commit else "")
        return (
            f"# Run {self.run_id} of {self._fields['started_at']}, as {made_by} resolved it:\n"
            "# --set and other options are applied, defaults are written out. `testbed run` takes this\n"
            f"{_REPLAYED if self._replayed else _ASKED}"
            f"{schema_line(self.directory.path)}"
        )

    def add(self, **fields: Any) -> None:
        """Add or replace fields."""
        self._fields |= fields
        self.directory.write_json("manifest.json", self._fields)

    def measured(self, observed: Observation) -> None:
        """Record by which clocks a method was observed."""
        for name, value in (
            ("clock_offsets_ns", observed.clock_offsets_ns),
            ("started_ns", observed.started_ns),
        ):
            self._fields[name] = {**self._fields[name], observed.method: value}
        self.add()

    def end(self, status: str, ended_by: str | None = None, broken_off: Sequence[BrokenOff] = ()) -> None:
        """Record how the run ended: ``finished``, ``failed``, ``interrupted`` or ``terminated``.

        Args:
            ended_by: in a sentence, why it failed.
            broken_off: the methods that did not come to their end.
        """
        early = {"ended_by": ended_by, "broken_off": [asdict(one) for one in broken_off]}
        phases_s = self.phases.to_json()
        self.add(
            status=status, ended_at=utc_now(), phases_s=phases_s, **({} if status == FINISHED else early)
        )

    @property
    def ended_early(self) -> str | None:
        """What is to be said first of the run, if it ended early."""
        return told(self._fields)
