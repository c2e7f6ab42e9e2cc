"""What a tier's container gets: a configuration that the tier itself accepts, and mounts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.network.backend import Backend
from testbed.network.container import ContainerSpec
from testbed.orchestrator.nodes.backend_specs import backend_specs
from testbed.orchestrator.nodes.tier_specs import container_specs, policy_spec
from testbed.scenario.scenario import Scenario, load_scenario
from tests import ROOT
from tests.results.simulated import TEXT, calibrate
from tiers.config import read_config
from tiers.engine import read_config as read_engine
from tiers.policies import make_policy
from tiers.records import KEPT, MAX_RECORDS

POLICY = """
from tiers.policies import Decision, Policy


class Mine(Policy):
    def decide(self, confidence):
        return Decision(keep=True)
"""


def load(path: Path, text: str) -> Scenario:
    file = path / "scenario.yaml"
    file.write_text(text)
    return load_scenario(file)


def test_a_tier_reads_its_place_and_parent_from_what_it_is_given(tmp_path: Path) -> None:
    scenario = load(tmp_path, TEXT)
    topology = scenario.topology
    for spec in container_specs(scenario, topology, None):
        config, node = read_config(spec.env), topology.node(spec.node)
        assert (config.place.node, config.place.tier) == (node.name, node.tier)
        assert config.parent == (None if node.parent is None else topology.node(node.parent).ip)
        assert spec.env["OMP_NUM_THREADS"] == "1"
        for method in scenario.methods:
            given = calibrate(scenario)["methods"].get(method.name)
            if method.policy == "oracle":
                given = {"goes_up": {"device": [], "edge": []}}
            make_policy(policy_spec(method, scenario.seed, given), config.place)


def test_embedded_models_are_mounted_where_the_tier_looks(tmp_path: Path) -> None:
    text = TEXT.replace("model: {kind: recorded, service: 1ms}, cpus: 0.1", "model: embedded/edge, cpus: 2.5")
    scenario = load(tmp_path, text)
    models = tmp_path / "models"
    spec = container_specs(scenario, scenario.topology, models)[0]
    inside = spec.mounts[str(models / "edge")]
    assert read_config(spec.env).model.options["path"] == inside
    assert spec.env["OMP_NUM_THREADS"] == "2"


def test_a_policy_from_a_file_is_mounted_and_named_by_its_place_inside(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(POLICY)
    text = TEXT.replace("{name: device-only}", '{name: mine, policy: "mine.py:Mine"}')
    scenario = load(tmp_path, text)
    spec = container_specs(scenario, scenario.topology, None)[0]
    policy = policy_spec(scenario.methods[0], scenario.seed)
    config = read_config(spec.env)
    (mount,) = config.plugins
    assert f"{mount}/{policy['policy']}" == f"{spec.mounts[str(tmp_path / 'mine.py')]}:Mine"
    assert make_policy(policy, config.place, [as_mounted(spec, mount, tmp_path)]).decide(0.1).keep


def test_what_a_policys_class_learnt_is_mounted_beside_its_file(tmp_path: Path) -> None:
    learnt = "json.loads(Path(__file__).with_suffix('.json').read_text())"
    policy = POLICY.replace("True", learnt)
    (tmp_path / "mine.py").write_text(f"import json\nfrom pathlib import Path\n{policy}")
    (tmp_path / "mine.json").write_text("false")
    (tmp_path / "other.json").write_text("true")
    text = TEXT.replace("{name: device-only}", '{name: mine, policy: "mine.py:Mine"}')
    scenario = load(tmp_path, text)
    spec = container_specs(scenario, scenario.topology, None)[0]
    assert {Path(source).name for source in spec.mounts} == {"mine.py", "mine.json"}
    (mount,) = read_config(spec.env).plugins
    place = read_config(spec.env).place
    mine = policy_spec(scenario.methods[0], scenario.seed)
    assert not make_policy(mine, place, [as_mounted(spec, mount, tmp_path)]).decide(0.1).keep


def as_mounted(spec: ContainerSpec, mount: str, scratch: Path) -> str:
    """A folder that holds what the container sees below ``mount``."""
    root = scratch / "inside"
    for outside, inside in spec.mounts.items():
        copy = root / Path(inside).relative_to(mount)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(outside, copy)
    return str(root)


def test_two_policies_from_files_of_the_same_name_are_two(tmp_path: Path) -> None:
    for folder, keep in (("a", True), ("b", False)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(POLICY.replace("True", str(keep)))
    methods = '{name: one, policy: "a/mine.py:Mine"}\n  - {name: two, policy: "b/mine.py:Mine"}'
    scenario = load(tmp_path, TEXT.replace("{name: device-only}", methods))
    spec = container_specs(scenario, scenario.topology, None)[0]
    config = read_config(spec.env)
    inside = as_mounted(spec, config.plugins[0], tmp_path)
    specs = [policy_spec(method, scenario.seed) for method in scenario.methods[:2]]
    keeps = [make_policy(policy, config.place, [inside]).decide(0.1).keep for policy in specs]
    assert keeps == [True, False]


def with_cloud(path: Path, model: str) -> Scenario:
    return load(path, TEXT.replace("{name: cloud,  nodes: 1, model: {kind: recorded, service: 1ms}",
                                   f"{{name: cloud,  nodes: 1, model: {model}"))  # fmt: skip


def test_an_engine_outside_is_asked_by_a_relay_behind_the_node(tmp_path: Path) -> None:
    scenario = with_cloud(tmp_path, "{kind: openai, url: 'https://gpu.example/v1', model: big}")
    (backend,) = backend_specs(scenario, scenario.topology)
    assert backend == Backend("cloud1", outside=("gpu.example", 443))
    options = read_config(specs(scenario)["cloud1"].env).model.options
    assert (options["url"], options["via"]) == ("https://gpu.example/v1", "10.78.0.11:8000")


def test_the_key_of_an_engine_is_the_environments_and_goes_to_its_tier_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = with_cloud(
        tmp_path, "{kind: openai, url: 'http://gpu.example:8001/v1', model: big, api_key_env: ENGINE_KEY}"
    )
    with pytest.raises(TestbedError, match=r"cloud\.model\.api_key_env: the environment has no ENGINE_KEY"):
        specs(scenario)
    monkeypatch.setenv("ENGINE_KEY", "secret")
    assert [name for name, spec in specs(scenario).items() if "secret" in str(spec.env)] == ["cloud1"]


def test_an_engine_has_the_tiers_cpus_and_memory_and_the_server_little_on_top(tmp_path: Path) -> None:
    (tmp_path / "mine.gguf").write_bytes(b"GGUF")
    model = "{kind: engine, engine: llama.cpp, gguf: mine.gguf, slots: 4, max_tokens: 8}"
    scenario = with_cloud(tmp_path, model)
    tier, spec = scenario.tier("cloud"), specs(scenario)["cloud1"]
    (backend,) = backend_specs(scenario, scenario.topology)
    assert backend.engine is not None
    assert (backend.engine.cpus, backend.engine.memory_bytes) == (tier.cpus, tier.memory_bytes)
    assert (spec.cpus, spec.memory_bytes) == (0.1, 256 << 20)
    assert tier.node_cpus == pytest.approx(tier.cpus + 0.1)
    assert tier.node_memory_bytes == tier.memory_bytes + (256 << 20)
    assert read_config(spec.env).request_threads == 500
    engine = read_engine(backend.engine.env)
    assert backend.engine.mounts == {str(tmp_path / "mine.gguf"): engine.gguf}
    assert (engine.served_as, engine.slots, engine.threads) == ("mine.gguf", 4, 1)
    options = read_config(spec.env).model.options
    assert (options["model"], options["max_tokens"]) == ("mine.gguf", 8)
    assert (options["url"], "via" in options) == ("http://10.78.0.11:8000/v1", False)


def specs(scenario: Scenario) -> dict[str, ContainerSpec]:
    return {spec.node: spec for spec in container_specs(scenario, scenario.topology, None)}


def test_a_node_that_is_to_be_killed_gets_a_first_process_that_outlives_it() -> None:
    scenario = load_scenario(ROOT / "scenarios" / "smoke.yaml", ["events=[{at: 1s, node: edge1, do: kill}]"])
    specs = {spec.node: spec for spec in container_specs(scenario, scenario.topology, None)}
    assert specs["edge1"].command == ["python3", "-m", "tiers.supervisor"]
    assert specs["device1"].command is None
    records = {name: read_config(spec.env).requests for name, spec in specs.items()}
    assert records == {"device1": KEPT, "device2": KEPT, "edge1": MAX_RECORDS, "cloud1": KEPT}


def test_a_tier_is_told_of_its_batches() -> None:
    overrides = ["tiers.edge.batch=8", "tiers.edge.wait=2.5ms"]
    scenario = load_scenario(ROOT / "scenarios" / "quickstart.yaml", overrides)
    specs = container_specs(scenario, scenario.topology, ROOT)
    told = {
        spec.node: (config.batch, config.batch_wait_s) for spec in specs if (config := read_config(spec.env))
    }
    assert told["edge1"] == (8, 0.0025)
    assert set(told.values()) == {(1, 0.0), (8, 0.0025)}
