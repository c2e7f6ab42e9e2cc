"""Policies whose class is not the repository's, and the bound of all of them, on real links and servers."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.orchestrator.method import run_method
from testbed.report.tables import methods_table, offload_tables
from testbed.results.audit import audit
from testbed.results.fidelity import CLAIMS
from testbed.results.scorers import SCORERS
from testbed.results.summary import summarise
from testbed.scenario.requests import build_trace, prompts_for
from testbed.scenario.scenario import Scenario, load_scenario
from tests import SCENARIOS
from tests.orchestrator.emulation import emulated
from tiers.policies import Place, Request, make_policy

pytestmark = pytest.mark.root
REQUESTS = 120
ROUTER = f"{SCENARIOS}/policies/word_router.py:WordRouter"
WRONG_EVERY = {"device": 2, "edge": 3, "cloud": 5}


def quiet() -> Reporter:
    return Reporter(Console(quiet=True))


def recorded(folder: Path, more: str = "") -> Scenario:
    """The repository's scenario with tiers that answer each so many-th request wrongly."""
    scenario = load_scenario(SCENARIOS / "own-policy.yaml", requests=REQUESTS)
    overrides = ["links.access.delay=0ms", "links.core.delay=0ms", *([more] if more else [])]
    examples = prompts_for(build_trace(scenario)).values()
    for tier, every in WRONG_EVERY.items():
        path = folder / f"{tier}.jsonl"
        lines = []
        for number, example in enumerate(examples):
            other = "positive" if example.reference == "negative" else "negative"
            answer = example.reference if number % every else other
            lines.append(json.dumps({"text": example.text, "answer": answer, "confidence": number / 1000}))
        path.write_text("\n".join(lines))
        overrides.append(f"tiers.{tier}.model={{kind: recorded, path: {path}, service: 0ms}}")
    return load_scenario(SCENARIOS / "own-policy.yaml", overrides, requests=REQUESTS)


def test_a_router_of_ones_own_and_the_oracle_stand_in_every_table(tmp_path: Path) -> None:
    methods = f"methods=[{{name: words, policy: '{ROUTER}', share: 0.3}}, {{name: oracle}}]"
    scenario = recorded(tmp_path, methods)
    with emulated(scenario, tmp_path / "run", quiet()) as session:
        results = [run_method(session, method, lambda *_: None) for method in scenario.methods]
        answers = session.directory.read_answers()
        prompts = {name: example.text for name, example in session.inputs.examples.items()}
    rows = [row for result in results for row in result.requests]
    found = audit(scenario, rows, None, answers)
    (difference,) = found.differences
    policy = make_policy(
        {"policy": ROUTER, "share": 0.3}, Place("device1", "device", ("device", "edge", "cloud"))
    )
    sent = {name for name, text in prompts.items() if policy.passes_on(Request(name, 0, text))}
    assert 0.2 * REQUESTS < len(sent) < 0.4 * REQUESTS
    assert (
        f"has no rules here, so its decisions are not shown: {REQUESTS} at device, {len(sent)} at e"
        in difference
    )
    routed, bound = (result.requests for result in results)
    assert {row["request_id"] for row in routed if len(row["path"]) > 1} == sent
    assert all((row["confidences"][0] is None) == (row["request_id"] in sent) for row in routed)
    faithful = dict.fromkeys(CLAIMS, True)
    summary = summarise(scenario, rows, [row for result in results for row in result.links], faithful)
    words = summary["methods"]["words"]["offload"]["device"]
    assert (words["decisions"], words["offloaded"]) == (REQUESTS, len(sent))
    assert words["share"] == len(sent) / REQUESTS
    shown = io.StringIO()
    tables = [
        methods_table(summary, scenario.tier_names, SCORERS["classification"]),
        *offload_tables(summary),
    ]
    Console(file=shown, width=200).print(*tables)
    lines = Counter(line.strip("│ ").split(" ")[0] for line in shown.getvalue().splitlines())
    assert (lines["words"], lines["oracle"]) == (3, 3)  # its figures, and its share by tier
    assert summary["methods"]["oracle"]["accuracy"] == 1 - 1 / (2 * 3 * 5)
    served = {tier: sum(row["tier"] == tier for row in bound) for tier in WRONG_EVERY}
    assert served == {"device": 60 + 4, "edge": 40, "cloud": 16}


def test_a_policy_that_cannot_be_made_is_refused_before_the_first_request(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from tiers.policies.recserve import RecServe\n\nclass Mine(RecServe):\n    knows = {*'ab'}\n"
    )
    scenario = recorded(tmp_path, f"methods=[{{name: recserve}}, {{name: mine, policy: '{path}:Mine'}}]")
    says = r"methods.mine: node \w+ refused reset: policy .*:Mine asks to know [ab], and a policy may know"
    with pytest.raises(TestbedError, match=says), emulated(scenario, tmp_path / "run", quiet()):
        pass
