"""A new policy, confidence or kind of model is one file, whose constructor gives the scenario's keys."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import tiers.confidence
import tiers.models
import tiers.policies
from testbed.orchestrator.nodes.tier_specs import container_specs, policy_spec
from testbed.scenario.scenario import Scenario, load_scenario
from tests import QUICKSTART
from tests.scenario.refusals import refusal
from tiers.config import NODE_VARIABLE, read_config
from tiers.models import Output, load_model
from tiers.policies import Place, make_policy

COIN = """
import random

from tiers.parameters import Probability
from tiers.policies import Decision, Place, Policy


class Coin(Policy):
    def __init__(self, place: Place, *, heads: Probability = 0.25, seed: int) -> None:
        super().__init__(place)
        self.heads, self.draws = heads, random.Random(seed)

    def decide(self, confidence: float) -> Decision:
        return Decision(keep=self.draws.random() < self.heads)
"""
PARROT = """
from typing import Annotated

from tiers.models import Model, ModelConfig, Output
from tiers.parameters import Count, File, Range


class Parrot(Model):
    def __init__(
        self,
        config: ModelConfig,
        *,
        words: Annotated[str, File("/words.txt")],
        times: Count = 2,
        pause_ms: Annotated[float, Range(0, 500)] = 0,
    ) -> None:
        super().__init__(config)
        self.times = times

    def infer(self, text: str) -> Output:
        return Output(text * self.times, confidence=1.0)
"""
CERTAIN = """
from tiers.confidence import Confidence
from tiers.models import Output


class Certain(Confidence):
    def of(self, output: Output) -> float:
        return 1.0
"""
Add = Callable[[ModuleType, str, str], None]


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Add]:
    """Puts a file into a package of the tiers, and takes it away after the test."""
    added = []

    def put(package: ModuleType, name: str, text: str) -> None:
        folder = tmp_path / package.__name__
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(text)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
        added.append(f"{package.__name__}.{name}")

    yield put
    for name in added:
        sys.modules.pop(name, None)


def test_a_new_policys_parameters_are_keys_of_a_method_and_reach_the_node(add: Add) -> None:
    add(tiers.policies, "coin", COIN)
    scenario = load_scenario(QUICKSTART, ["methods=[{name: coin}, {name: fair, policy: coin, heads: 0.5}]"])
    assert [method.parameters for method in scenario.methods] == [{"heads": 0.25}, {"heads": 0.5}]
    assert Scenario.model_validate(json.loads(json.dumps(scenario.model_dump(mode="json")))) == scenario
    spec = policy_spec(scenario.methods[1], scenario.seed)
    assert spec == {"policy": "coin", "method": "fair", "heads": 0.5, "seed": scenario.seed}
    policy: Any = make_policy(spec, Place("device1", "device", tuple(scenario.tier_names)))
    assert policy.heads == 0.5


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        ("{name: coin, heads: 1.5}", "methods.coin.heads: must be less than or equal to 1, not 1.5"),
        ("{name: coin, heads: half}", "methods.coin.heads: must be a valid number, not 'half'"),
        ("{name: coin, head: 0.5}", "methods.coin.head: unknown key; did you mean heads?"),
        ("{name: coin, seed: 3}", "methods.coin.seed: unknown key; known are name, policy, relay, heads"),
        ("{name: coln}", "no policy 'coln'; did you mean coin?"),
    ],
)
def test_what_a_new_policy_does_not_take_is_refused_in_one_sentence(
    add: Add, method: str, sentence: str
) -> None:
    add(tiers.policies, "coin", COIN)
    assert sentence in refusal(f"methods=[{method}]")


def test_a_new_kind_of_models_options_are_keys_of_a_model_and_reach_the_node(
    add: Add, tmp_path: Path
) -> None:
    add(tiers.models, "parrot", PARROT)
    words = tmp_path / "words.txt"
    words.touch()
    model = f"{{kind: parrot, words: {words}, pause: 20ms}}"
    scenario = load_scenario(QUICKSTART, [f"tiers.device.model={model}"])
    assert Scenario.model_validate(json.loads(json.dumps(scenario.model_dump(mode="json")))) == scenario
    spec = container_specs(scenario, scenario.topology, tmp_path)[0]
    assert json.loads(spec.env[NODE_VARIABLE])["model"] == {
        "kind": "parrot",
        "words": "/words.txt",
        "pause_ms": 20.0,
    }
    assert spec.mounts == {str(words): "/words.txt"}
    assert load_model(read_config(spec.env).model).infer("hm").answer == "hmhm"


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("{kind: parrot}", "tiers.device.model.words: is missing; add it"),
        ("{kind: parrot, words: none.txt}", "model.words: no such file or directory 'none.txt'"),
        ("{kind: parrot, words: README.md, times: 0}", "model.times: must be greater than or equal to 1"),
        ("{kind: parrot, words: README.md, pause: 1}", "model.pause: 1 has no unit; write a time like 10ms"),
        ("{kind: parrot, words: README.md, pause: 1s}", "'1s' is too much; it may be 500ms at most"),
        ("{kind: parot}", "tiers.device.model.kind: no kind of model 'parot'; did you mean parrot?"),
    ],
)
def test_what_a_new_kind_of_model_does_not_take_is_refused_in_one_sentence(
    add: Add, model: str, sentence: str
) -> None:
    add(tiers.models, "parrot", PARROT)
    assert sentence in refusal(f"tiers.device.model={model}")


def test_a_new_confidence_is_known_by_the_name_of_its_file(add: Add) -> None:
    add(tiers.confidence, "certain", CERTAIN)
    model = "{kind: recorded, service: 1ms, confidence: certain}"
    scenario = load_scenario(QUICKSTART, [f"tiers.device.model={model}"])
    assert scenario.tiers[0].model.options["confidence"] == "certain"
    assert tiers.confidence.make_confidence("certain").of(Output("x")) == 1.0


def test_a_scenario_is_read_without_the_libraries_of_its_models() -> None:
    loaded = "torch", "transformers", "tokenizers", "urllib3"
    code = (
        "import sys; from testbed.scenario.scenario import load_scenario;"
        f"load_scenario({str(QUICKSTART)!r});"
        f"print([name for name in {loaded!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
