"""What is extracted of an answer matrix for a tier is the trace's rows, as the matrix has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.host.cache import cache_dir
from testbed.orchestrator.nodes.extract import EXTRACTED, extracted
from testbed.orchestrator.nodes.mounts import remove_copies
from testbed.orchestrator.nodes.tier_specs import container_specs
from testbed.scenario.matrix import read_matrix
from testbed.scenario.requests import build_trace, prompts_for
from testbed.scenario.scenario import load_scenario
from tests import SCENARIOS
from tiers.config import read_config
from tiers.models.rows import RecordedRows

RECORDED = SCENARIOS / "recorded.yaml"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of this test's own; the data set's file is there by a link."""
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "assets").symlink_to(cache_dir() / "assets")
    monkeypatch.setenv("TESTBED_CACHE", str(cache))


def test_each_tier_gets_its_models_rows_and_no_matrix() -> None:
    scenario = load_scenario(RECORDED, ["tiers.cloud.model.service=5ms"], requests=30)
    asked = list(prompts_for(build_trace(scenario)).values())
    matrix = read_matrix(SCENARIOS / "recorded" / "rotten_tomatoes.parquet")
    places = {row: at for at, row in enumerate(matrix.rows.tolist())}
    with extracted(scenario, asked) as files:
        assert list(files) == ["device", "edge", "cloud"]
        specs = {spec.node: spec for spec in container_specs(scenario, scenario.topology, None, files)}
        for tier, file in files.items():
            spec = specs[f"{tier}1"]
            assert spec.mounts == {str(file): "/recorded.sqlite"}
            options = read_config(spec.env).model.options
            assert options["rows"] == "/recorded.sqlite"
            assert options.get("path") is None
            assert file.stat().st_mode & 0o777 == 0o644
            rows = RecordedRows(file)
            assert rows.count == 30
            outputs = list(matrix.models[tier].outputs())
            for example in asked:
                found = rows.of(example.text)
                assert found is not None
                output, service_ms = found
                expected = outputs[places[example.row]]
                assert (output.answer, list(output.logits or ())) == (expected.answer, expected.logits)
                assert (output.prompt_tokens, output.completion_tokens) == (
                    expected.prompt_tokens,
                    expected.completion_tokens,
                )
                assert (service_ms is None) is (tier == "cloud")
            assert rows.about["sha256"] == matrix.header.sha256
            assert rows.about["record"]["revision"] == matrix.header.models[tier].revision
    assert list(cache_dir().glob(f"{EXTRACTED}*")) == []


def test_where_no_tier_has_a_matrix_nothing_is_made() -> None:
    scenario = load_scenario(SCENARIOS / "smoke.yaml")
    with extracted(scenario, []) as files:
        assert files == {}
        assert list(cache_dir().glob(f"{EXTRACTED}*")) == []


def test_what_a_killed_run_left_is_removed() -> None:
    left = cache_dir() / f"{EXTRACTED}x"
    left.mkdir()
    (left / "edge.sqlite").touch()
    assert remove_copies() == [f"copies {left}"]
    assert not left.exists()
