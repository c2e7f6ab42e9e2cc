"""What a run is made of is known by its content, and a change on the way is noticed."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.host import checkpoints, fingerprints
from testbed.host.embedded.revision import embedded_revision
from testbed.host.facts import commit
from testbed.host.fingerprints import code_sha256
from testbed.host.image import ImageRef
from testbed.orchestrator import sources
from testbed.orchestrator.conclude import Measured
from testbed.orchestrator.held import HeldNetwork
from testbed.orchestrator.manifest import Manifest
from testbed.orchestrator.prepare import Parts, inputs_of
from testbed.orchestrator.reserve import RESERVE, Reserve
from testbed.orchestrator.run import concluded
from testbed.orchestrator.sources import Source, Sources
from testbed.results.directory import RunDirectory
from testbed.scenario.scenario import Scenario, load_scenario
from testbed.scenario.workload.trace_file import Request, write_trace
from testbed.study.models import checkpoint_revision
from tests import ROOT, SCENARIOS
from tests.orchestrator.nodes.test_mounts import NAME, in_the_hubs_cache

QUIET = Reporter(Console(quiet=True))
SMOKE = SCENARIOS / "smoke.yaml"


def checkpoint(folder: Path, weights: str = "weights") -> Path:
    folder.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "optimizer.pt"):
        (folder / name).write_text("{}")
    (folder / "model.safetensors").write_text(weights)
    return folder


def made_of(scenario: Scenario, models: Path | None = None) -> dict[str, Source]:
    code, *others = Sources([scenario], QUIET).of(scenario, models)
    assert (code.field, code.sha256, code.revision) == ("code", code_sha256(ROOT), commit())
    return {source.field: source for source in others}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def everything(tmp_path: Path) -> tuple[Scenario, dict[str, Path]]:
    """A scenario that names a file by each of its keys, and those by the key."""
    files = {
        name: tmp_path / name for name in ("mine.py", "mine.json", "said.jsonl", "trace.jsonl", "a.delays")
    }
    for name in ("mine.py", "mine.json"):
        files[name].write_text("{}")
    files["said.jsonl"].write_text('{"text": "x", "answer": "positive", "confidence": 0.9, "service_ms": 1}')
    write_trace([Request("r1", 0.0, "device1", "rotten_tomatoes", "test", 1)], files["trace.jsonl"])
    files["a.delays"].write_text("10\n20\n")
    model, cup = checkpoint(tmp_path / "model"), ROOT / "traces" / "up-and-down.mahi"
    scenario = load_scenario(
        SMOKE,
        [
            f"tiers.device.model=recorded/{files['said.jsonl']}",
            f"tiers.edge.model={{kind: transformers, path: {model}, confidence: '{files['mine.py']}:Sure'}}",
            f"tiers.cloud.model={files['mine.py']}:Model",
            f"methods.recserve.policy={files['mine.py']}:Mine",
            f"trace={{file: {files['trace.jsonl']}}}",
            f"links.core.delay={{file: {files['a.delays']}}}",
            f"events=[{{at: 1s, link: access, rate_file: {cup}}}]",
            f"calibration={{file: {files['trace.jsonl']}}}",
        ],
    )
    learnt = {"mine": files["mine.py"], "mine (learnt)": files["mine.json"]}
    by_key = {
        "tiers.device.model.path": files["said.jsonl"],
        "tiers.edge.model.path": model,
        "trace.file": files["trace.jsonl"],
        "links.core.delay.file": files["a.delays"],
        "events.0.rate_file": cup,
        "calibration.file": files["trace.jsonl"],
    }
    for key in ("tiers.edge.model.confidence", "tiers.cloud.model.kind", "methods.recserve.policy"):
        by_key |= {name.replace("mine", key): path for name, path in learnt.items()}
    return scenario, by_key


def test_every_file_that_a_scenario_names_is_known_by_its_content(
    everything: tuple[Scenario, dict[str, Path]],
) -> None:
    scenario, by_key = everything
    found = made_of(scenario)
    assert {key: source.path for key, source in found.items()} == {k: str(path) for k, path in by_key.items()}
    for key, path in by_key.items():
        expected = checkpoint_revision(path).removeprefix("sha256:") if path.is_dir() else digest(path)
        assert found[key].sha256 == expected, key
    model = found["tiers.edge.model.path"]
    assert (model.files, model.bytes) == (3, len("{}{}weights")), "what is not loaded is not in it"


def test_a_model_of_the_hub_is_known_by_its_commit_and_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = in_the_hubs_cache(checkpoint(tmp_path / "plain"), tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    checkpoints.from_hub.cache_clear()
    scenario = load_scenario(SMOKE, [f"tiers.cloud.model={NAME}"])
    found = made_of(scenario)["tiers.cloud.model.hub"]
    assert (found.revision, found.path) == (snapshot.name, str(snapshot))
    assert found.sha256 == checkpoint_revision(tmp_path / "plain").removeprefix("sha256:")
    checkpoints.from_hub.cache_clear()


def test_an_embedded_model_is_known_by_its_revision_and_content(tmp_path: Path) -> None:
    checkpoint(tmp_path / "edge", "edge's")
    found = made_of(load_scenario(SMOKE, ["tiers.edge.model=embedded/edge"]), tmp_path)
    source = found["tiers.edge.model"]
    assert source.revision == embedded_revision("edge")
    assert source.sha256 == checkpoint_revision(tmp_path / "edge").removeprefix("sha256:")


def test_words_that_look_like_paths_are_none(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.touch()
    words = "a: /, b: /proc/kmsg, c: /dev/zero, d: /etc, e: [/nowhere]"
    assert made_of(load_scenario(SMOKE, [f"tiers.cloud.model={{kind: '{file}:Mine', {words}}}"])).keys() == {
        "tiers.cloud.model.kind"
    }


def written_to(path: Path) -> None:
    path.write_text(path.read_text() + " ")


def replaced_by_another_with_its_size_and_time(path: Path) -> None:
    other, found = path.with_name("other"), path.stat()
    other.write_text("x" * found.st_size)
    os.utime(other, ns=(found.st_atime_ns, found.st_mtime_ns))
    other.rename(path)


def removed(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("change", "how"),
    [
        (written_to, "was changed or replaced"),
        (replaced_by_another_with_its_size_and_time, "was changed or replaced"),
        (removed, "was removed"),
    ],
)
@pytest.mark.parametrize("key", ["tiers.device.model.path", "tiers.edge.model.path", "links.core.delay.file"])
def test_a_change_is_noticed(
    everything: tuple[Scenario, dict[str, Path]], key: str, change: Callable[[Path], None], how: str
) -> None:
    scenario, by_key = everything
    source = made_of(scenario)[key]
    assert source.changed() is None
    path = by_key[key] / "tokenizer.json" if by_key[key].is_dir() else by_key[key]
    change(path)
    found = source.changed()
    assert found is not None
    assert (found.field, found.path, found.how) == (key, str(path), how)


def test_a_file_that_was_only_touched_is_the_same(everything: tuple[Scenario, dict[str, Path]]) -> None:
    scenario, by_key = everything
    source = made_of(scenario)["trace.file"]
    by_key["trace.file"].touch()
    assert source.changed() is None


def test_a_change_between_the_first_use_and_its_sum_is_noticed(
    everything: tuple[Scenario, dict[str, Path]],
) -> None:
    """The trace was read, an image was built, and then the sums were computed: of which one was it?"""
    scenario, by_key = everything
    kept = Sources([scenario], QUIET)
    written_to(by_key["trace.file"])
    source = next(one for one in kept.of(scenario, None) if one.field == "trace.file")
    found = source.changed()
    assert found is not None
    assert found.how == "was changed or replaced"


def test_a_later_run_of_a_network_depends_on_what_the_first_one_loaded(
    everything: tuple[Scenario, dict[str, Path]],
) -> None:
    scenario, by_key = everything
    kept = Sources([scenario, scenario], QUIET)
    first = {source.field: source for source in kept.of(scenario, None)}
    written_to(by_key["tiers.device.model.path"])
    second = {source.field: source for source in kept.of(scenario, None)}
    for found in (first, second):
        assert [key for key, source in found.items() if source.changed()] == ["tiers.device.model.path"]


def test_it_is_said_what_takes_long(
    everything: tuple[Scenario, dict[str, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario, _ = everything
    monkeypatch.setattr(sources, "LARGE_BYTES", 10)
    said = io.StringIO()
    Sources([scenario], Reporter(Console(file=said, width=200))).of(scenario, None)
    assert "computing the SHA-256 of 0.0 GiB of models and files" in said.getvalue()
    again = io.StringIO()
    Sources([scenario], Reporter(Console(file=again, width=200))).of(scenario, None)
    assert again.getvalue() == "", "the same versions are read once"


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TestbedError, match=r"gone cannot be read \(No such file or directory\); permit it"):
        fingerprints.sha256_of(tmp_path / "gone")


def test_a_run_whose_file_changed_says_so_in_its_verdicts(tmp_path: Path) -> None:
    said = tmp_path / "mine.py"
    said.write_text("class Mine: ...")
    scenario = load_scenario(SMOKE, [f"methods.recserve.policy={said}:Mine"], methods=["recserve"])
    inputs, network = inputs_of(scenario), HeldNetwork([scenario], QUIET)
    parts = Parts(ImageRef("tag", "id", 1), None, Sources([scenario], QUIET).of(scenario, None))
    directory = RunDirectory.create(tmp_path / "run", scenario.name)
    manifest, room = Manifest(directory, "run7", inputs, parts), Reserve(directory.path, 1 << 20)
    with concluded(network, manifest, inputs, Measured(), room):
        written_to(said)
    assert not (directory.path / RESERVE).exists()
    reasons: dict[str, Any] = directory.read_json("fidelity.json")["reasons"]
    wanted = f"methods.recserve.policy: {said} was changed or replaced"
    assert any(reason.startswith(wanted) for reason in reasons["decisions"])
