"""The published document is what tiers check by, and schemathesis finds nothing against it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT
from tests.corpus.served import serving
from tests.tiers.nodes import call, node_config, running
from tiers.api import openapi
from tiers.api.fields import narrowed

KEPT = ROOT / "docs" / "openapi.json"


def test_the_kept_document_is_that_of_the_code() -> None:
    """``python -m tiers.api.openapi`` writes it anew."""
    assert json.loads(KEPT.read_text()) == json.loads(json.dumps(openapi.document()))


def test_a_node_serves_the_document_with_its_own_models_and_what_they_take() -> None:
    with running(node_config("cloud", None)) as cloud:
        served = call(cloud.port, "GET", "/openapi.json").json
        fields = served["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]
        properties = fields["schema"]["properties"]
        assert properties["model"]["enum"] == ["cloud", "tier", None]
        assert properties["temperature"]["enum"] == [0, None]
        assert properties["top_logprobs"]["type"] == "null"
        expected = openapi.document(["cloud", "tier"], narrowed((), "classification", 1))
        assert served == json.loads(json.dumps(expected))


def test_of_a_kind_that_can_take_everything_nothing_is_narrowed() -> None:
    assert narrowed(("max_tokens", "logprobs", "sampling", "conversation"), "generation", 0) == {}


@pytest.mark.parametrize(
    "examples", [10, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)
def test_schemathesis_finds_nothing(tmp_path: Path, examples: int) -> None:
    """So many examples an operation, seeded; the tier stays well and small meanwhile."""
    with serving() as served:
        ran = subprocess.run(
            [
                *(str(Path(sys.executable).with_name("schemathesis")), "run"),
                *("--seed", "1", "--max-examples", str(examples), "--phases", "examples,coverage,fuzzing"),
                *("--no-color", "--generation-database", "none"),
                f"http://127.0.0.1:{served.port}/openapi.json",
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout[-5000:] + ran.stderr[-2000:]
        assert "No issues found" in ran.stdout
        served.check_well()
