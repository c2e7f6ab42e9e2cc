"""A scenario's models on this host, without containers: what a tier would load, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from testbed.errors import TestbedError
from testbed.host.checkpoints import checkpoint_files, from_hub
from testbed.host.embedded.revision import embedded_revision
from testbed.host.facts import cpu_model, package_version, usable_cpus
from testbed.host.fingerprints import sha256_of, sha256_of_all
from testbed.host.processes.reporting import Report
from testbed.scenario.sections.engines import EngineEntry
from testbed.scenario.sections.models import CheckpointEntry, EmbeddedEntry, RecordedEntry
from testbed.scenario.sections.task import Task
from testbed.scenario.sections.tier_model import TierModel
from tiers.models.base import ModelConfig
from tiers.plugins import external

LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors")


@dataclass(frozen=True)
class HostModel:
    """A model as this host loads it.

    Attributes:
        word: what names it: ``embedded/edge``, a hub name, a checkpoint's folder, an engine's model.
        revision: of its weights; ``None`` where nobody says.
        confidence: the scenario's choice, if it has made one.
    """

    name: str
    kind: str
    word: str
    revision: str | None
    confidence: str | None
    config: ModelConfig

    @property
    def is_checkpoint(self) -> bool:
        """Whether torch runs it here."""
        return self.config.kind == "transformers"

    @property
    def reaches_outside(self) -> bool:
        return self.config.kind == "openai"

    def told_options(self) -> dict[str, Any]:
        """Its options, for a header: without paths of this host, and nothing secret."""
        left_out = ("path", "hub", "rung", "device", "model", "url")
        told = {key: value for key, value in self.config.options.items() if key not in left_out}
        if url := self.config.options.get("url"):
            place = urlsplit(str(url))
            told["engine"] = (
                f"{place.scheme}://{place.hostname or ''}{f':{place.port}' if place.port else ''}"
            )
        return told


def host_model(
    name: str, model: TierModel, task: Task, device: str, threads: int, report: Report
) -> HostModel:
    """What a tier with this ``model`` loads; embedded ones are prepared, those of the hub fetched.

    Raises:
        TestbedError: it cannot be had, or gives no answers of its own.
    """
    if isinstance(model, RecordedEntry):
        raise TestbedError(f"{name}: is recorded already; name the model that gave the answers")
    if isinstance(model, EngineEntry):
        raise TestbedError(
            f"{name}: an engine that a run starts is not recorded; serve {model.name} yourself, and name it "
            "with --model and --openai"
        )
    options = model.options
    confidence = options.pop("confidence", None)
    word, revision, kind = model.served_as, None, model.kind
    if isinstance(model, EmbeddedEntry):
        from testbed.host.embedded.prepare import prepare, require_room

        require_room()
        options = {"path": str(prepare(report) / options.pop("rung")), **options}
        word, revision = f"embedded/{model.rung}", embedded_revision(model.rung)
    elif isinstance(model, CheckpointEntry) and model.hub is not None:
        path = from_hub(model.hub)
        options["path"], word, revision = str(path), model.hub, path.name
    elif isinstance(model, CheckpointEntry):
        folder = Path(str(model.path))
        word, revision = folder.name, checkpoint_revision(folder)
    elif plugin := external(model.kind):
        word = kind = f"{Path(plugin.where).name}:{plugin.class_name}"
        revision = f"sha256:{sha256_of(Path(plugin.where))}"
    elif engine_model := options.get("model"):
        word = str(engine_model)
    if model.served_as == "transformers":
        options["device"] = device
    asked = task.asked
    config = ModelConfig(
        model.served_as,
        options,
        task.kind,
        tuple(task.labels),
        name,
        threads,
        template=asked["template"],
        answer_confidence=asked["confidence"],
    )
    return HostModel(name, kind, word, revision, confidence, config)


def checkpoint_revision(folder: Path) -> str:
    """``sha256:`` and the hash of a checkpoint's files: their names and their contents."""
    return f"sha256:{sha256_of_all(checkpoint_files(folder))}"


def libraries() -> dict[str, str]:
    """The versions of the libraries that compute."""
    found = {name: package_version(name) for name in ("llm-testbed", *LIBRARIES)}
    return {name: version for name, version in found.items() if version is not None}


def hardware(device: str, threads: int) -> Mapping[str, str]:
    """What inferences ran on, and by how many of its threads those that were timed."""
    told = {"cpu": cpu_model(), "cpus": str(usable_cpus()), "threads": str(threads)}
    if device.startswith("cuda"):
        import torch

        told["gpu"] = torch.cuda.get_device_name(device)
    return told
