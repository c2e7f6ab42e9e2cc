"""Files of the host in containers of another user: links, and files that only their owner may read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import docker
import pytest

from testbed.errors import TestbedError
from testbed.host.processes.reporting import silent
from testbed.network.container import ContainerSpec, container_options
from testbed.orchestrator.nodes.mounts import mounts_of, readable, remove_copies
from testbed.orchestrator.nodes.tier_specs import container_specs
from testbed.scenario.scenario import load_scenario
from tests import ROOT
from tests.network.conftest import engine, image  # noqa: F401  fixtures
from tests.results.simulated import TEXT
from tests.tiers.checkpoints import small_classifier

NAME = "organisation/small"
FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")
INFER = """
import os
from tiers.confidence import make_confidence
from tiers.config import read_config
from tiers.models import load_model
from tiers.policies import make_policy
config = read_config(os.environ)
model = load_model(config.model)
confidence = make_confidence(config.confidence or model.confidence, config.plugins)
print(model.infer("a fine film").answer, confidence.of(model.infer("a fine film")) > 0)
if policy := os.environ.get("POLICY"):
    print(make_policy({"policy": policy}, config.place, config.plugins).decide(0.1).keep)
"""


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of the test's own: a run may be going on that uses the host's."""
    monkeypatch.setenv("TESTBED_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A directory like a checkpoint's."""
    folder = tmp_path / "plain"
    folder.mkdir()
    for name in FILES:
        (folder / name).write_text(f"{{}} of {name}")
        (folder / name).chmod(0o644)
    folder.chmod(0o755)
    return folder


def in_the_hubs_cache(folder: Path, home: Path) -> Path:
    """The checkpoint of ``folder`` as the model hub's library keeps it below ``home``; its snapshot."""
    repository = home / "hub" / f"models--{NAME.replace('/', '--')}"
    snapshot = repository / "snapshots" / ("0" * 40)
    for made in (repository / "blobs", repository / "refs", snapshot):
        made.mkdir(parents=True)
    (repository / "refs" / "main").write_text(snapshot.name)
    for number, path in enumerate(sorted(path for path in folder.iterdir() if path.is_file())):
        blob = repository / "blobs" / f"{number:040x}"
        shutil.copy(path, blob)
        (snapshot / path.name).symlink_to(f"../../blobs/{blob.name}")
    return snapshot


def test_a_directory_of_plain_files_is_mounted_whole(plain: Path) -> None:
    assert mounts_of(str(plain), "/model") == {str(plain): "/model"}
    (plain / "optimizer.pt").touch(0o600)  # no file of the model
    assert mounts_of(str(plain), "/model") == {str(plain): "/model"}


def test_files_that_are_links_are_mounted_one_by_one(plain: Path, tmp_path: Path) -> None:
    snapshot = in_the_hubs_cache(plain, tmp_path / "home")
    assert mounts_of(str(snapshot), "/model") == {str(snapshot / name): f"/model/{name}" for name in FILES}
    (plain / "model.safetensors").rename(tmp_path / "weights")
    (plain / "model.safetensors").symlink_to(tmp_path / "weights")
    assert mounts_of(str(plain), "/model") == {str(plain / name): f"/model/{name}" for name in FILES}


@pytest.mark.parametrize("hidden", ["model.safetensors", "."])
def test_what_only_its_owner_may_read_is_copied_for_as_long_as_containers_start(
    hidden: str, plain: Path
) -> None:
    (plain / hidden).chmod(0o700 if hidden == "." else 0o600)
    said: list[str] = []
    specs = [ContainerSpec(name, mounts=mounts_of(str(plain), "/model")) for name in ("a1", "a2")]
    with readable(specs, said.append) as mounted:
        assert mounted[0].mounts == mounted[1].mounts
        inside = {at: Path(source) for source, at in mounted[0].mounts.items()}
        assert sorted(inside) == sorted(f"/model/{name}" for name in FILES)
        for at, source in inside.items():
            assert source.read_text() == f"{{}} of {Path(at).name}"
            assert source.stat().st_mode & 0o777 == 0o644
        copied = [source for source in inside.values() if source.parent != plain]
        assert [source.parent.stat().st_mode & 0o777 for source in copied] == [0o700] * len(copied)
    assert (len(copied), len(said)) == ((0, 0) if hidden == "." else (1, 1))
    assert not any(source.exists() for source in copied)
    assert (plain / hidden).stat().st_mode & 0o077 == 0


def test_what_a_killed_run_left_is_removed_by_the_next_and_by_clean(plain: Path) -> None:
    (plain / "config.json").chmod(0o600)
    spec = ContainerSpec("a", mounts={str(plain / "config.json"): "/x"})
    with readable([spec], silent) as (mounted,):
        (copy,) = map(Path, mounted.mounts)
        left = Path(shutil.copytree(copy.parent, f"{copy.parent}-killed"))
    assert left.is_dir()
    assert remove_copies() == [f"copies {left}"]
    assert not left.exists()
    assert remove_copies() == []
    left.mkdir()
    with readable([spec], silent):
        assert not left.exists()


def test_no_room_for_a_copy_is_one_sentence_with_the_mend(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = plain / "model.safetensors"
    weights.chmod(0o600)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=0))
    spec = ContainerSpec("a", mounts=mounts_of(str(plain), "/model"))
    with (
        pytest.raises(
            TestbedError, match=rf"{weights} may be read by its owner alone.*`chmod a\+r {weights}`"
        ),
        readable([spec], silent),
    ):
        pass


def test_a_directory_that_is_no_checkpoint_and_closed_is_one_sentence(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(0o700)
    with (
        pytest.raises(TestbedError, match=rf"{closed} cannot be read .*chmod -R a\+rX {closed}"),
        readable([ContainerSpec("a", mounts={str(closed): "/x"})], silent),
    ):
        pass


def cloud_of(folder: Path, model: str, method: str = "{name: device-only}") -> ContainerSpec:
    """The cloud's container of a scenario in ``folder``, whose cloud has that model."""
    text = TEXT.replace(
        "cloud,  nodes: 1, model: {kind: recorded, service: 1ms}, cpus: 0.1, memory: 64MiB",
        f"cloud,  nodes: 1, model: {model}, cpus: 1, memory: 1GiB",
    )
    file = folder / "scenario.yaml"
    file.write_text(text.replace("{name: device-only}", method))
    scenario = load_scenario(file)
    return container_specs(scenario, scenario.topology, None)[-1]


def printed_inside(engine: docker.DockerClient, image: str, spec: ContainerSpec) -> str:  # noqa: F811
    """What a container of that spec prints that infers with the model that it is given."""
    options = container_options("test", spec.node, image, spec)
    options |= {"name": None, "labels": {}, "command": ["python3", "-c", INFER], "log_config": None}
    container = engine.containers.create(**options)
    try:
        container.start()
        ended = container.wait(timeout=120)
        printed = container.logs().decode()
    finally:
        container.remove(force=True)
    assert ended["StatusCode"] == 0, printed
    return str(printed)


def as_saved(folder: Path, _home: Path) -> str:
    """As ``save_pretrained`` writes it with safetensors from 0.8: weights of mode 0600."""
    assert (folder / "model.safetensors").stat().st_mode & 0o777 == 0o600
    return "./small"


def in_a_closed_directory(folder: Path, _home: Path) -> str:
    folder.chmod(0o700)
    return "./small"


def with_a_link(folder: Path, home: Path) -> str:
    home.mkdir()
    (folder / "model.safetensors").chmod(0o644)  # so that it is the link alone that matters
    (folder / "model.safetensors").rename(home / "weights")
    (folder / "model.safetensors").symlink_to("../home/weights")
    return "./small"


def in_shards_of_the_hub(folder: Path, home: Path) -> str:
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    in_the_hubs_cache(folder, home)
    return NAME


@pytest.mark.docker
@pytest.mark.models
@pytest.mark.parametrize("kept", [as_saved, in_a_closed_directory, with_a_link, in_shards_of_the_hub])
def test_a_checkpoint_as_people_have_it_loads_in_a_container(
    kept: Callable[[Path, Path], str],
    engine: docker.DockerClient,  # noqa: F811
    image: str,  # noqa: F811
    tmp_path: Path,
) -> None:
    (tmp_path / "small").mkdir()
    model = kept(small_classifier(tmp_path / "small", None), tmp_path / "home")
    # In a process of its own: the hub's library reads its settings when it is imported.
    made = subprocess.run(
        [
            sys.executable,
            "-c",
            "import dataclasses, json, pathlib, sys\n"
            "from tests.orchestrator.nodes.test_mounts import cloud_of\n"
            "print(json.dumps(dataclasses.asdict(cloud_of(pathlib.Path(sys.argv[1]), sys.argv[2]))))",
            str(tmp_path),
            model,
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    with readable([ContainerSpec(**json.loads(made.stdout))], silent) as (spec,):
        assert printed_inside(engine, image, spec) == "positive True\n"


PLUGINS = """
from tiers.confidence import Confidence
from tiers.models import Model, Output
from tiers.policies import Decision, Policy


class Mine(Policy):
    def decide(self, confidence):
        return Decision(keep=True)


class Sure(Confidence):
    def of(self, output):
        return 0.5


class Parrot(Model):
    def infer(self, text):
        return Output(text, logits=[1.0, 2.0])
"""


@pytest.mark.docker
def test_files_of_the_users_own_are_read_in_a_container_whatever_their_mode(
    engine: docker.DockerClient,  # noqa: F811
    image: str,  # noqa: F811
    tmp_path: Path,
) -> None:
    line = {"text": "a fine film", "answer": "positive", "confidence": 0.7, "service_ms": 1}
    for name, text in {"mine.py": PLUGINS, "answers.jsonl": json.dumps(line)}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    method = '{name: mine, policy: "mine.py:Mine"}'
    for model, answer in (
        ('{kind: recorded, path: answers.jsonl, confidence: "mine.py:Sure"}', "positive True"),
        ('{kind: "mine.py:Parrot", confidence: "mine.py:Sure"}', "a fine film True"),
    ):
        spec = cloud_of(tmp_path, model, method)
        policy = next(inside for inside in spec.mounts.values() if inside.endswith("mine.py"))
        spec.env["POLICY"] = f"{policy}:Mine"  # type: ignore[index]
        with readable([spec], silent) as (mounted,):
            assert printed_inside(engine, image, mounted) == f"{answer}\nTrue\n"
