"""Scenarios: what is accepted is complete, and what is refused is refused in one helpful sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from testbed.errors import TestbedError
from testbed.orchestrator.nodes.tier_specs import policy_spec
from testbed.scenario.scenario import (
    Scenario,
    clamp_cpus,
    load_scenario,
    with_methods,
    with_requests,
    with_seed,
)
from testbed.scenario.sections.engines import EngineEntry
from testbed.scenario.sections.models import CheckpointEntry, EmbeddedEntry, RecordedEntry
from testbed.scenario.sections.trace import DrawnTrace, FileTrace
from tests import QUICKSTART, SCENARIOS
from tests.scenario.refusals import refusal
from tiers.models.base import ModelConfig, load_model
from tiers.parameters import parameters
from tiers.policies import Place, find_policy, make_policy
from tiers.policies.base import ANSWERS


def edited(tmp_path: Path, **sections: Any) -> Path:
    """The quickstart with whole sections replaced, or removed by ``None``."""
    data = yaml.safe_load(QUICKSTART.read_text())
    data.update(sections)
    path = tmp_path / "edited.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in data.items() if value is not None}))
    return path


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "written.yaml"
    path.write_text(text)
    return path


@pytest.fixture
def quickstart() -> Scenario:
    return load_scenario(QUICKSTART)


class TestWhatIsRead:
    def test_the_quickstart_is_what_its_readers_know(self, quickstart: Scenario) -> None:
        assert [(tier.name, tier.nodes, tier.cpus) for tier in quickstart.tiers] == [
            ("device", 2, 0.25),
            ("edge", 1, 0.5),
            ("cloud", 1, 1.0),
        ]
        assert [tier.memory_bytes for tier in quickstart.tiers] == [2**30, 3 * 2**29, 2**31]
        access, core = quickstart.links
        assert (access.rate_bps, access.delay_ms, access.jitter_ms, access.loss) == (20_000_000, 10.0, 2.0, 0)
        assert (core.rate_bps, core.delay_ms) == (100_000_000, 30.0)
        assert isinstance(quickstart.trace, DrawnTrace)
        assert (quickstart.trace.requests, quickstart.trace.arrivals.rate_per_s) == (100, 3.0)
        assert (quickstart.replay.mode, quickstart.replay.deadline_s) == ("open", 30.0)

    def test_methods_carry_the_parameters_of_their_policy(self, quickstart: Scenario) -> None:
        device, _, _, casserve, recserve = quickstart.methods
        assert (device.only_tier, device.parameters) == ("device", {})
        assert casserve.parameters == {"thresholds": {"device": 0.8, "edge": 0.8}}
        assert recserve.only_tier is None
        given = {"beta": 0.3, "window": 10_000, "start": "cold", "enter": "before", "scope": "node"}
        assert recserve.parameters == given

    @pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.yaml")), ids=lambda path: path.stem)
    def test_every_scenario_of_the_repository_loads_and_survives_a_manifest(self, path: Path) -> None:
        scenario = load_scenario(path)
        assert scenario.name == path.stem
        again = Scenario.model_validate(json.loads(json.dumps(scenario.model_dump(mode="json"))))
        assert again == scenario
        assert again.topology == scenario.topology

    def test_a_scenario_is_frozen(self, quickstart: Scenario) -> None:
        with pytest.raises(ValidationError):
            quickstart.name = "other"

    def test_a_closed_loop_has_users_who_think_exponentially_unless_told(self, tmp_path: Path) -> None:
        closed = {"mode": "closed", "users": 4, "think": "500ms"}
        replay = load_scenario(edited(tmp_path, replay=closed)).replay
        assert (replay.users, replay.think_s, replay.think_distribution) == (4, 0.5, "exponential")
        fixed = load_scenario(edited(tmp_path, replay=closed), ["replay.think_distribution=fixed"])
        assert fixed.replay.think_distribution == "fixed"
        assert Scenario.model_validate(json.loads(json.dumps(fixed.model_dump(mode="json")))) == fixed

    def test_one_tier_needs_no_link(self, tmp_path: Path) -> None:
        tier = {"name": "cloud", "model": "embedded/cloud", "cpus": 1, "memory": "1GiB"}
        path = edited(tmp_path, tiers=[tier], links=None, methods=[{"name": "cloud-only"}])
        assert load_scenario(path).links == ()

    def test_labels_default_to_the_data_sets(self, tmp_path: Path) -> None:
        path = edited(tmp_path, task={"kind": "classification", "dataset": "imdb"})
        assert load_scenario(path).task.labels == ("negative", "positive")

    def test_one_policy_may_run_under_two_names(self, tmp_path: Path) -> None:
        methods = [{"name": f"recserve-{beta}", "policy": "recserve", "beta": beta} for beta in (0.1, 0.5)]
        scenario = load_scenario(edited(tmp_path, methods=methods), ["methods.recserve-0.1.beta=0.2"])
        assert [method.parameters["beta"] for method in scenario.methods] == [0.2, 0.5]

    def test_a_policy_from_a_file_takes_any_parameters(self, tmp_path: Path) -> None:
        (tmp_path / "mine.py").touch()
        method = {"name": "mine", "policy": "mine.py:Greedy", "appetite": 3}
        (mine,) = load_scenario(edited(tmp_path, methods=[method])).methods
        assert mine.policy == f"{tmp_path / 'mine.py'}:Greedy"
        assert mine.parameters == {"appetite": 3}


SOME_BY_TIER = {"device": 0.5, "edge": 0.5}


class TestWhatTiersTake:
    """A scenario is accepted only if the tiers, which read it again in their containers, accept it too."""

    @pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.yaml")), ids=lambda path: path.stem)
    def test_every_policy_can_be_made_on_every_tier(self, path: Path) -> None:
        scenario = load_scenario(path)
        for method in scenario.methods:
            for tier in scenario.tier_names:
                place = Place(f"{tier}1", tier, tuple(scenario.tier_names))
                needs = method.calibration_needs or ANSWERS in method.knows
                given = {"thresholds": SOME_BY_TIER, "prefill": {"device": [0.5], "edge": [0.5]}}
                given["goes_up"] = {"device": [], "edge": []}
                spec = {**policy_spec(method, scenario.seed), "policy": method.policy}
                known = parameters(find_policy(method.policy))
                spec |= {name: value for name, value in given.items() if needs and name in known}
                make_policy(spec, place)

    def test_the_smoke_scenarios_models_answer(self) -> None:
        scenario = load_scenario(SCENARIOS / "smoke.yaml")
        for tier in scenario.tiers:
            config = ModelConfig(
                kind=tier.model.kind,
                options=tier.model.options,
                task=scenario.task.kind,
                labels=scenario.task.labels,
                tier=tier.name,
                threads=1,
            )
            assert load_model(config).infer("a film").answer in scenario.task.labels


class TestModels:
    def model(self, tmp_path: Path, model: object) -> Any:
        tier = {"name": "cloud", "model": model, "cpus": 1, "memory": "1GiB"}
        path = edited(tmp_path, tiers=[tier], links=None, methods=[{"name": "cloud-only"}])
        scenario = load_scenario(path)
        assert Scenario.model_validate(scenario.model_dump(mode="json")) == scenario
        return scenario.tiers[0].model

    def test_a_rung_of_the_embedded_ladder(self, tmp_path: Path) -> None:
        assert self.model(tmp_path, "embedded/edge") == EmbeddedEntry(kind="embedded", rung="edge")

    def test_a_rung_of_the_translation_ladder(self) -> None:
        models = [tier.model for tier in load_scenario(SCENARIOS / "translation.yaml").tiers]
        rungs = [model.rung for model in models if isinstance(model, EmbeddedEntry)]
        assert rungs == ["translation/device", "translation/edge", "translation/cloud"]

    @pytest.mark.parametrize(
        ("model", "sentence"),
        [
            (
                "embedded/edge",
                "embedded/edge is for classification, and the task is translation; have one of",
            ),
            (
                "{kind: recorded, service: 1ms}",
                "answers are made up from the task's labels, and debian_en_de has none",
            ),
        ],
    )
    def test_a_model_that_cannot_translate_is_refused(self, model: str, sentence: str) -> None:
        with pytest.raises(TestbedError, match=r"tiers\.edge\.model") as refused:
            load_scenario(SCENARIOS / "translation.yaml", [f"tiers.edge.model={model}"])
        assert sentence in str(refused.value)

    def test_a_checkpoint_directory_beside_the_scenario(self, tmp_path: Path) -> None:
        checkpoint = tmp_path / "models" / "mine"
        checkpoint.mkdir(parents=True)
        (checkpoint / "config.json").write_text("{}")
        with pytest.raises(TestbedError, match=r"tiers\.cloud\.model: .*models/mine holds no weights:"):
            self.model(tmp_path, "models/mine")
        (checkpoint / "model.safetensors").write_bytes(b"weights")
        model = self.model(tmp_path, "models/mine")
        assert isinstance(model, CheckpointEntry)
        assert model.options == {"path": str(checkpoint)}

    def test_a_name_on_the_hub(self, tmp_path: Path) -> None:
        model = self.model(tmp_path, "textattack/roberta-base-SST-2")
        assert isinstance(model, CheckpointEntry)
        assert model.options == {"path": "textattack/roberta-base-SST-2"}

    def test_recorded_inferences_and_their_default(self, tmp_path: Path) -> None:
        (tmp_path / "earlier.jsonl").touch()
        model = self.model(tmp_path, "recorded/earlier.jsonl")
        assert isinstance(model, RecordedEntry)
        assert model.options == {"path": str(tmp_path / "earlier.jsonl")}
        stub = self.model(tmp_path, {"kind": "recorded", "service": "5ms", "distribution": "exponential"})
        assert stub.options == {"default": {"service_ms": 5.0, "distribution": "exponential"}}

    def test_another_engine(self, tmp_path: Path) -> None:
        url = "http://10.0.0.5:8001/v1"
        model = self.model(tmp_path, {"kind": "openai", "url": url, "model": "big", "timeout": "20s"})
        assert model.needs_backend
        assert model.options == {"url": url, "model": "big", "timeout_s": 20.0}

    def test_an_engine_that_is_started(self, tmp_path: Path) -> None:
        (tmp_path / "mine.gguf").write_bytes(b"GGUF")
        given = {"kind": "engine", "engine": "llama.cpp", "gguf": "mine.gguf", "timeout": "20s"}
        model = self.model(tmp_path, given)
        assert isinstance(model, EngineEntry)
        assert model.needs_backend
        assert (model.gguf, model.context, model.slots) == (str(tmp_path / "mine.gguf"), 2048, 1)
        assert model.options == {"model": "mine.gguf", "timeout_s": 20.0, "params": {"top_logprobs": 1}}
        named = self.model(tmp_path, {**given, "gguf": "smollm2-135m-instruct"})
        assert named.options["model"] == "smollm2-135m-instruct"

    def test_a_class_in_a_file_takes_any_options(self, tmp_path: Path) -> None:
        (tmp_path / "mine.py").touch()
        model = self.model(tmp_path, {"kind": "mine.py:Parrot", "colour": "green"})
        assert model.kind == f"{tmp_path / 'mine.py'}:Parrot"
        assert model.options == {"colour": "green"}
        assert self.model(tmp_path, "mine.py:Parrot").kind == model.kind


WRONG = {
    "tiers.device.model=embedded/devise": "no embedded model 'devise'; did you mean device?",
    "tiers.device.model=embeded/device": "no model 'embeded/device' (did you mean embedded/",
    "tiers.device.model=embedded/translation/edge": "embedded/translation/edge is for translation, and the",
    "tiers.device.model=embedded/translation/edg": "no embedded model 'translation/edg'; did you mean",
    "tiers.device.model=nosuch": "tiers.device.model: no model 'nosuch'; write embedded/RUNG",
    "tiers.device.model=~/nosuch": "tiers.device.model: no such file or directory '~/nosuch': here it is /",
    "tiers.device.model=./nosuch": "tiers.device.model: no such file or directory './nosuch'",
    "tiers.device.model=../tests": "is no Transformers checkpoint directory; it must hold a config.json",
    "tiers.device.model=openai/gpt": "'openai/gpt' does not say where the engine is; write {kind: openai",
    "tiers.device.model={kind: engine}": "tiers.device.model.engine: is missing; add it",
    "tiers.device.model={kind: engine, engine: vllm, gguf: x.gguf}": "engine: must be 'llama.cpp', not 'v",
    "tiers.device.model={kind: engine, engine: llama.cpp, gguf: smollm}": "no prepared GGUF 'smollm'; ",
    "tiers.device.model={kind: engine, engine: llama.cpp, gguf: README.md}": "no prepared GGUF 'README.md'; ",
    "tiers.device.model={kind: engine, engine: llama.cpp, gguf: ./README.md}": "README.md is no GGUF file",
    "tiers.device.model={kind: engine, engine: llama.cpp, gguf: no.gguf}": "no such file or directory 'no",
    "tiers.device.model={kind: engine, engine: llama.cpp, gguf: x, url: x}": "unknown key",
    "tiers.device.model={kind: openai, url: 'http://x/v1', model: m, via: y}": "model.via: unknown key",
    "tiers.device.model=7": "tiers.device.model: no model 7; write embedded/RUNG",
    "tiers.device.model={kind: recorded}": "tiers.device.model: give the path of recorded inferences",
    "tiers.device.model={kind: recorded, service: 5}": "tiers.device.model.service: 5 has no unit",
    "tiers.device.model={rung: edge}": "tiers.device.model.kind: is missing",
    "tiers.device.model={kind: emebdded}": "no kind of model 'emebdded'; did you mean embedded?",
    "tiers.device.cpus=-1": "tiers.device.cpus: must be greater than or equal to 0.01, not -1",
    "tiers.device.cpus=.nan": "tiers.device.cpus: ",
    "tiers.device.cpus=a lot": "tiers.device.cpus: must be a valid number, not 'a lot'",
    "tiers.device.memory=1": "tiers.device.memory: 1 has no unit; write a memory size like 512MiB or 1.5GiB",
    "tiers.device.memory=1KiB": "tiers.device.memory: '1KiB' is too little; it must be at least 6MiB",
    "tiers.device.nodes=0": "tiers.device.nodes: must be greater than or equal to 1, not 0",
    "tiers.cloud.nodes=2": "tiers.cloud.nodes: 2 nodes above edge's 1 would leave some without a child",
    "tiers.device.parents=[1]": "tiers.device.parents: has 1 entries for 2 nodes; give each node its parent",
    "tiers.device.parents=[1, 2]": "tiers.device.parents: edge2 is not there; edge has 1, counted from 1",
    "tiers.device.parents=[1, 0]": "tiers.device.parents.2: must be greater than or equal to 1, not 0",
    "tiers.device.parents=2": "tiers.device.parents: must be a valid list, not 2",
    "tiers.cloud.parents=[1]": "tiers.cloud.parents: cloud is the top tier, with nobody above it; remove",
    "tiers.device.congestion=Bbr!": "tiers.device.congestion: 'Bbr!' is no name here; use a kernel's name",
    "tiers.device.batch=0": "tiers.device.batch: must be greater than or equal to 1, not 0",
    "tiers.device.batch=257": "tiers.device.batch: must be less than or equal to 256, not 257",
    "tiers.device.batch=2.5": "tiers.device.batch: must be a valid integer, not 2.5",
    "tiers.device.wait=2ms": "tiers.device.wait: is for batches; add batch: 8, or remove it",
    "tiers.device.name=device1": "tiers.device1.name: 'device1' is no name here; use small letters",
    "tiers.edge.name=device": "tiers: 'device' is there 2 times; give each entry a name of its own",
    "tiers=[]": "tiers: has too few entries; add one",
    "task.dataset=rotten_tomatos": "task.dataset: no data set 'rotten_tomatos'; did you mean rotten_",
    "task.kind=translation": "task.kind: rotten_tomatoes is for classification, not 'translation'",
    "task.labels=[bad, good]": "task.labels: rotten_tomatoes has the labels [negative, positive]",
    "links.core.rate=100": "links.core.rate: 100 has no unit; write a rate like 500kbit",
    "links.core.rate=0mbit": "links.core.rate: '0mbit' is too little; it must be at least 1kbit",
    "links.core.delay=-5ms": "links.core.delay: '-5ms' is negative",
    "links.core.delay=2min": "links.core.delay: '2min' is too much; it may be 60s at most",
    "links.core.loss=0.01": "links.core.loss: 0.01 has no unit; write a share like 1% or 0.5 %",
    "links.core.los=1%": "links.core.los: unknown key; did you mean loss?",
    "links.core.rate_bps=1000": "links.core.rate_bps: unknown key; did you mean rate?",
    "links.core.jitter=31ms": "links.core.jitter: is more than the delay",
    "links.core.jitter={sd: 31ms, distribution: uniform}": "links.core.jitter: is more than the delay",
    "links.core.jitter={distribution: normal}": "links.core.jitter.sd: is missing; add it",
    "links.core.jitter={sd: 2ms, distribution: gamma}": "jitter.distribution: must be 'normal', 'uniform'",
    "links.core.loss={model: gilbert, p: 1%, r: 0%}": "links.core.loss.r: is 0, so that the first burst",
    "links.core.loss={model: gilbert, p: 1, r: 30%}": "links.core.loss.p: 1 has no unit; write a share like",
    "links.core.loss={model: gilber, p: 1%, r: 30%}": "links.core.loss.model: must be 'gilbert', not",
    "links.core.loss={p: 1%, r: 30%}": "links.core.loss.model: is missing; add it",
    "links.core.loss=[1%]": "links.core.loss: ['1%'] is not a share",
    "links.core.delay={}": "links.core.delay.file: is missing; add it",
    "links.core.delay={fil: x}": "links.core.delay.fil: unknown key; did you mean file?",
    "links.core.delay={file: none.delays}": "links.core.delay.file: no such file or directory 'none.delays'",
    "links.core.delay={file: README.md}": "README.md:1: '# llm-testbed' is no number of millisec",
    "links.core.delay={file: traces/wandering.delays, median_ms: 3}": "median_ms: is worked out",
    "links.core.queue=1000000": "links.core.queue: lets edge1-cloud1 (up) hold 1,539 MiB of frames in",
    "links.core.queue=0": "links.core.queue: 0 is no queue; write frames, 1 to 1000000, or a multiple",
    "links.core.queue=2 frames": "links.core.queue: '2 frames' is no queue",
    "links.core.queue=0bdp": "links.core.queue: '0bdp' is no queue",
    "links.core.queue=true": "links.core.queue: True is no queue",
    "links.core.up.rate=5": "links.core.up.rate: 5 has no unit; write a rate like 500kbit",
    "links.core.up.rat=5mbit": "links.core.up.rat: unknown key; did you mean rate?",
    "links.core.up.shared=true": "links.core.up.shared: unknown key",
    "links.core.up=5mbit": "links.core.up: must be a mapping of rate, delay",
    "links.core.up={jitter: 31ms}": "links.core.up.jitter: is more than the delay",
    "links.core.up={delay: 0ms, reorder: 1%}": "links.core.up.reorder: needs a delay",
    "links.core.profile=6g": "links.core.profile: no profile '6g'; known are 5g, lte",
    "links.core.profile=7": "links.core.profile: must be a text, not 7",
    "links.core.shared=1": "links.core.shared: must be a valid boolean, not 1",
    "links.core.between=[device, cloud]": "links.core.between: [device, cloud] are not neighbouring tiers",
    "links.core.between=[edge, clod]": "links.core.between: no tier 'clod'; did you mean cloud?",
    "links.core.between=[device, edge]": "links.core.between: access already joins device and edge",
    "links.core.between=[edge]": "links.core.between: has too few entries; add one",
    "links=[]": "links: no link joins device and edge; add one between [device, edge]",
    "methods.recserve.beta=1.5": "methods.recserve.beta: must be less than or equal to 1, not 1.5",
    "methods.recserve.beta={device: 0.3}": "methods.recserve.beta: no beta for tier edge; every tier but",
    "methods.recserve.beta={device: x, edge: 0}": "methods.recserve.beta.device: must be a valid number",
    "methods.recserve.window={device: 9, edge: 0.5}": "methods.recserve.window.edge: must be a valid integer",
    "methods.recserve.window={device: 9, edge: 9, cloud: 9}": "always answers; remove its window",
    "methods.recserve.enter=between": "methods.recserve.enter: must be 'before' or 'after', not 'between'",
    "methods.recserve.window=0": "methods.recserve.window: must be greater than or equal to 1, not 0",
    "methods.recserve.thresholds={}": "methods.recserve.thresholds: unknown key; known are name, policy",
    "methods.cloud-only.beta=0.3": "methods.cloud-only.beta: unknown key; known are name, policy",
    "methods.cloud-only.policy=clod-only": "no tier 'clod' for policy clod-only; did you mean cloud-only?",
    "methods.recserve.policy=recserv": "methods.recserve.policy: no policy 'recserv'; did you mean recserve?",
    "methods.recserve.policy=no.py:Class": "methods.recserve.policy: no such file or directory 'no.py'",
    "methods.casserve.thresholds={device: 0.8}": "methods.casserve.thresholds: no threshold for tier edge",
    "methods.casserve.thresholds.cloud=0.5": "cloud is the top tier and always answers; remove its threshold",
    "methods.casserve.thresholds.egde=0.5": "methods.casserve.thresholds: no tier 'egde'; did you mean edge?",
    "methods.casserve.thresholds.edge=80%": "methods.casserve.thresholds.edge: must be a valid number",
    "methods=[{name: colserve, share: 30%}]": "methods.colserve.share: must be a valid number, not '30%'",
    "methods=[{name: colserve, share: 3}]": "methods.colserve.share: must be less than or equal to 1, not 3",
    "methods=[{name: colserve, share: {device: 3}}]": "methods.colserve.share.device: must be less than or",
    "methods=[{name: colserve, share: {device: 0}}]": "methods.colserve.share: no share for tier edge",
    "methods=[{name: budget, share: 2}]": "methods.budget.share: must be less than or equal to 1, not 2",
    "methods=[{name: budget, of: frames}]": "budget.of: must be 'requests' or 'bytes', not 'frames'",
    "methods=[{name: length-router}]": "methods.length-router.longest: is missing; add it",
    "methods=[{name: length-router, longest: 0}]": "longest: must be greater than or equal to 1, not 0",
    "methods=[{name: length-router, longest: {edge: 9}}]": "longest: no length for tier device; every",
    "methods.recserve.relay=[clod]": "methods.recserve.relay: no tier 'clod'; known are device, edge",
    "methods.recserve.relay=[cloud]": "methods.recserve.relay: cloud is the top tier and always answers",
    "methods.recserve.relay=edge": "methods.recserve.relay: must be a valid list, not 'edge'",
    "methods.edge-only.relay=[edge]": "methods.edge-only.relay: edge alone answers under edge-only; take it",
    "methods.casserve.relay=[edge]": "methods.casserve.thresholds: edge relays under casserve and decides",
    "methods.edge-only.name=cloud-only": "methods: 'cloud-only' is there 2 times",
    "methods=[{name: ../up, policy: recserve}]": "methods.../up.name: '../up' is no name here",
    "methods=[]": "methods: has too few entries; add one",
    "methods=[{name: mine}]": "no policy 'mine'; known are",
    "trace.requests=0": "trace.requests: must be greater than or equal to 1, not 0",
    "trace.requests=1.5": "trace.requests: must be a valid integer",
    "trace.seed=-1": "trace.seed: must be greater than or equal to 0, not -1",
    "trace.arrivals.rate=0": "trace.arrivals.rate: must be greater than 0, not 0",
    "trace.arrivals.process=gauss": "trace.arrivals.process: must be 'poisson', 'gamma', 'diurnal'",
    "trace.arrivals.process=gamma": "trace.arrivals.burstiness: is missing; say by how much gaps vary",
    "trace.arrivals.burstiness=3": "arrivals.burstiness: is for process: gamma; remove it, or write that",
    "trace.arrivals.process=diurnal": "trace.arrivals.period: is missing; say how long a day is, like 24h",
    "trace.file=x.jsonl": "trace.arrivals: a trace from a file has its own",
    "trace={file: nosuch.jsonl}": "trace.file: no such file or directory 'nosuch.jsonl'",
    "replay.mode=lokstep": "replay.mode: must be 'open', 'closed' or 'lockstep', not 'lokstep'",
    "replay.users=4": "replay.users: is for a closed loop; remove it, or write mode: closed",
    "replay.think=1s": "replay.think: is for a closed loop; remove it, or write mode: closed",
    "replay={mode: closed, think: 1s}": "replay.users: is missing; say how many ask, like 4",
    "replay={mode: closed, users: 4}": "replay.think: is missing; say how long users think, like 500ms",
    "replay={mode: closed, users: 0, think: 1s}": "replay.users: must be greater than or equal to 1, not 0",
    "replay={mode: closed, users: 4, think: 500}": "replay.think: 500 has no unit; write a time like",
    "replay={mode: closed, users: 4, think: 1s, think_distribution: no}": "must be 'fixed' or 'exponential'",
    "replay.deadline=30": "replay.deadline: 30 has no unit; write a time like 10ms or 1.5s",
    "events=[{at: 3s}]": "events.1: says nothing that happens; give one of set, down, up, rate_file",
    "name=../etc": "name: '../etc' is no name here",
    "replai.mode=open": "replai: unknown key; did you mean replay?",
}


class TestWhatIsRefused:
    @pytest.mark.parametrize("override", WRONG)
    def test_a_wrong_value_is_named_with_its_field_and_its_mend(self, override: str) -> None:
        sentence = refusal(override)
        assert sentence.startswith(f"{QUICKSTART}: ")
        assert WRONG[override] in sentence

    @pytest.mark.parametrize("bad", ["~nouser/x", "x" * 300, r'"a\0b"'])
    @pytest.mark.parametrize(
        ("override", "field"),
        [
            ("trace={file: PATH}", "trace.file"),
            ("events=[{at: 1s, link: core, rate_file: PATH}]", "events.1.rate_file"),
            ("graph={file: PATH, place: {edge: [A], cloud: [B]}}", "graph.file"),
            ("tiers.device.model={kind: recorded, path: PATH}", "tiers.device.model.path"),
            ("tiers.device.model={kind: transformers, path: PATH}", "tiers.device.model.path"),
        ],
    )
    def test_a_path_that_no_file_can_have_is_refused_in_one_sentence(
        self, override: str, field: str, bad: str
    ) -> None:
        sentence = refusal(override.replace("PATH", bad))
        assert f"{field}: " in sentence
        assert sentence.endswith("name a file that is there")
        assert "\n" not in sentence

    def test_so_is_one_in_the_name_of_a_policy_or_of_a_model(self) -> None:
        for override in ("methods.recserve.policy=~nouser/x.py:Mine", "tiers.device.model=~nouser/x"):
            assert "is no path here (Could not determine home directory); name" in refusal(override)

    def test_a_wrong_key_in_the_file_names_file_field_and_the_nearest_key(self, tmp_path: Path) -> None:
        path = written(tmp_path, QUICKSTART.read_text().replace("cpus: 0.25", "cpu: 0.25"))
        assert refusal(path=path) == f"{path}: tiers.device.cpu: unknown key; did you mean cpus?"

    def test_a_key_that_is_missing(self, tmp_path: Path) -> None:
        path = written(tmp_path, QUICKSTART.read_text().replace("cpus: 0.25, ", ""))
        assert refusal(path=path) == f"{path}: tiers.device.cpus: is missing; add it"

    def test_an_entry_without_name_goes_by_its_place(self, tmp_path: Path) -> None:
        assert refusal(path=edited(tmp_path, methods=[{"policy": "recserve"}])).endswith(
            "methods.1.name: is missing; add it"
        )

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "must be a mapping with name, task, tiers"),
            ("- a\n- b\n", "must be a mapping with name, task, tiers"),
            ("name: a\nname: b\n", "2:1: key 'name' is given twice"),
            ("name: {a: 1, a: 2}\n", "1:14: key 'a' is given twice"),
            ("name: [1, 2\n", "2:1: while parsing a flow sequence"),
            ("a: !!python/object/apply:os.system [ls]\n", "could not determine a constructor"),
            ("a: 1\n---\nb: 2\n", "expected a single document"),
            ("a: &a [*a]\n", "nested deeper than 32 levels"),
            ("[" * 3000, "nested deeper than 32 levels"),
            ("? [a]\n: 1\n", "a key must be a plain word"),
            ("a: 2024-13-45\n", "month must be in 1..12"),
            ("a: *b\n", "found undefined alias"),
            ("a: \x07\n", "special characters are not allowed"),
        ],
    )
    def test_what_is_not_plain_yaml(self, tmp_path: Path, text: str, words: str) -> None:
        path = written(tmp_path, text)
        sentence = refusal(path=path)
        assert sentence.startswith(str(path))
        assert words in sentence

    def test_aliases_that_blow_up(self, tmp_path: Path) -> None:
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
        assert "more than 20000 values, aliases counted" in refusal(path=written(tmp_path, "\n".join(lines)))

    def test_a_file_that_is_too_large(self, tmp_path: Path) -> None:
        assert "is larger than 256 KiB" in refusal(path=written(tmp_path, "# " + "x" * 300_000))

    def test_a_file_that_is_not_there_or_not_text(self, tmp_path: Path) -> None:
        assert "cannot be read (No such file or directory)" in refusal(path=tmp_path / "none.yaml")
        assert "is a directory without scenario.yaml" in refusal(path=tmp_path)
        binary = tmp_path / "binary.yaml"
        binary.write_bytes(b"name: \xff\xfe")
        assert "is not UTF-8 text at byte 6" in refusal(path=binary)

    @settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.data())
    def test_whatever_stands_somewhere_there_is_a_scenario_or_a_sentence(
        self, tmp_path: Path, data: st.DataObject
    ) -> None:
        content: Any = yaml.safe_load(QUICKSTART.read_text())
        here = content
        while True:
            keys = list(here) if isinstance(here, dict) else list(range(len(here)))
            key = data.draw(st.sampled_from(keys))
            if not isinstance(here[key], dict | list) or not here[key] or data.draw(st.booleans()):
                break
            here = here[key]
        here[key] = data.draw(ODD_VALUES)
        path = written(tmp_path, yaml.safe_dump(content))
        try:
            scenario = load_scenario(path)
        except TestbedError as error:
            sentence = str(error)
        else:
            assert Scenario.model_validate(scenario.model_dump(mode="json")) == scenario
            return
        assert sentence.startswith(f"{path}: ")
        assert "\n" not in sentence

    def test_a_sentence_quotes_no_more_than_it_must(self, tmp_path: Path) -> None:
        sentence = refusal(path=edited(tmp_path, name="x" * 50_000))
        assert len(sentence) < 700
        assert sentence.endswith("use letters, digits, - _ and ., at most 64")

    def test_a_key_with_a_line_break_still_makes_one_line(self, tmp_path: Path) -> None:
        assert "a b: unknown key" in refusal(path=edited(tmp_path, **{"a\nb": 1}))


ODD_WORDS = st.sampled_from(["x", "device", "20mbit", "1%", "a.py:B", "{what}", "../x", "recorded/x", "1"])
ODD_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ODD_WORDS | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "kind", "path", "file", "policy", "rate"]), inner, max_size=3
        )
    ),
    max_leaves=4,
)


class TestOverrides:
    def test_list_entries_go_by_name(self) -> None:
        scenario = load_scenario(
            QUICKSTART,
            [
                "links.core.loss=1%",
                "methods.recserve.beta=0.1",
                "trace.requests=50",
                "trace.arrivals.rate=3.5",
                "methods.casserve.thresholds={device: 0.7, edge: 0.9}",
                "replay.mode=lockstep",
            ],
        )
        assert scenario.links[1].loss == 0.01
        assert scenario.methods[4].parameters["beta"] == 0.1
        assert scenario.methods[3].parameters["thresholds"] == {"device": 0.7, "edge": 0.9}
        assert isinstance(scenario.trace, DrawnTrace)
        assert (scenario.trace.requests, scenario.trace.arrivals.rate_per_s) == (50, 3.5)
        assert scenario.replay.mode == "lockstep"

    def test_the_last_of_two_wins(self) -> None:
        assert load_scenario(QUICKSTART, ["trace.seed=2", "trace.seed=3"]).seed == 3

    def test_a_section_that_the_file_lacks_can_be_set(self, tmp_path: Path) -> None:
        path = edited(tmp_path, replay=None)
        assert load_scenario(path, ["replay.deadline=5s"]).replay.deadline_s == 5.0

    @pytest.mark.parametrize(
        ("override", "words"),
        [
            ("links.cor.loss=1%", "there is no 'cor' in links; did you mean core?"),
            ("links.core=1", "links.core is a whole list entry; add the key to set"),
            ("tiers.device.model.rung=edge", "tiers.device.model is 'embedded/device', which has no rung"),
            ("trace.requests", "is not key.path=value"),
            ("=3", "is not key.path=value"),
            ("trace..seed=3", "is not key.path=value"),
            ("trace.seed=[1", "the value is not YAML"),
        ],
    )
    def test_a_path_that_leads_nowhere_is_refused(self, override: str, words: str) -> None:
        sentence = refusal(override)
        assert sentence.startswith(f"--set {override}: ")
        assert words in sentence

    def test_the_override_to_blame_is_named(self) -> None:
        sentence = refusal("trace.seed=2", "trace.requests=none")
        assert sentence.startswith(f"{QUICKSTART}: --set trace.requests=none: trace.requests: ")


class TestNarrowing:
    def test_methods_by_name_in_the_order_asked(self, quickstart: Scenario) -> None:
        methods = with_methods(quickstart, ["recserve", "cloud-only"]).methods
        assert [method.name for method in methods] == ["recserve", "cloud-only"]

    @pytest.mark.parametrize(
        ("names", "words"),
        [
            (["recserv"], "no method 'recserv'; did you mean recserve?"),
            ([], "at most once and one at least"),
            (["recserve", "recserve"], "at most once and one at least"),
        ],
    )
    def test_methods_that_are_not_there(self, quickstart: Scenario, names: list[str], words: str) -> None:
        with pytest.raises(TestbedError, match=words):
            with_methods(quickstart, names)

    def test_requests_and_seed(self, quickstart: Scenario) -> None:
        trace = with_seed(with_requests(quickstart, 7), 9).trace
        assert (trace.requests, trace.seed) == (7, 9)
        with pytest.raises(TestbedError, match="--requests: 0"):
            with_requests(quickstart, 0)
        with pytest.raises(TestbedError, match="--seed: -1"):
            with_seed(quickstart, -1)

    def test_requests_of_a_trace_from_a_file(self, quickstart: Scenario) -> None:
        scenario = quickstart.model_copy(update={"trace": FileTrace(file="t.jsonl")})
        assert with_requests(scenario, 3).trace == FileTrace(file="t.jsonl", requests=3)

    def test_more_cpus_than_the_machine_has_are_clamped_and_said(self) -> None:
        scenario = load_scenario(QUICKSTART, ["tiers.cloud.cpus=8"])
        clamped, notes = clamp_cpus(scenario, 2)
        assert [tier.cpus for tier in clamped.tiers] == [0.25, 0.5, 2.0]
        assert notes == ["tiers.cloud.cpus: 8 is more than the machine's 2; runs with 2"]
        assert clamp_cpus(clamped, 2) == (clamped, [])


def test_skipping_an_unreachable_tier_needs_one_above_it(tmp_path: Path) -> None:
    two = """
name: two
task: {kind: classification, dataset: rotten_tomatoes}
tiers:
  - {name: device, model: {kind: recorded, service: 1ms}, cpus: 1, memory: 64MiB}
  - {name: cloud, model: {kind: recorded, service: 1ms}, cpus: 1, memory: 64MiB}
links:
  - {name: access, between: [device, cloud], rate: 20mbit}
methods: [{name: cloud-only}]
trace: {requests: 1, arrivals: {rate: 1}}
"""
    path = tmp_path / "two.yaml"
    path.write_text(two)
    assert load_scenario(path).when_unreachable == "keep"
    sentence = refusal("when_unreachable=skip", path=path)
    assert "when_unreachable: is skip, and with 2 tiers there is none to ask past another" in sentence
    assert "best" in refusal("when_unreachable=best", path=path)


BATCH = "tiers.device.batch=8"
RECORDED = "tiers.device.model={kind: recorded, service: 1ms}"
LOCKSTEP = "replay.mode=lockstep"


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["tiers.device.wait=2"], "tiers.device.wait: 2 has no unit; write a time like"),
        (["tiers.device.wait=2s"], "tiers.device.wait: '2s' is too much; it may be 1s at most"),
        (
            ["tiers.device.wait=20ms", "replay.deadline=20ms"],
            "tiers.device.wait: is no less than replay.deadline: requests would wait until it has passed",
        ),
        ([RECORDED], "tiers.device.batch: a model of kind recorded answers one request at a time; remove it"),
        ([LOCKSTEP], "tiers.device.batch: lockstep sends one request at a time, so that no batch would"),
        (
            [LOCKSTEP, "methods.recserve.scope=tier"],
            "tiers.device.batch: under recserve the nodes of a tier share a window, one request after",
        ),
    ],
    ids=["no-unit", "too-long", "beyond-the-deadline", "recorded", "lockstep", "shared-window"],
)
def test_batches_are_refused_where_there_can_be_none(overrides: list[str], sentence: str) -> None:
    assert sentence in refusal(BATCH, *overrides)


def test_batches_are_off_unless_asked_for(quickstart: Scenario) -> None:
    device = load_scenario(QUICKSTART, [BATCH, "tiers.device.wait=2ms"]).tier("device")
    assert (device.batch, device.wait_ms) == (8, 2.0)
    assert {(tier.batch, tier.wait_ms) for tier in quickstart.tiers} == {(1, 0.0)}
