"""A run directory of schema version 1 is read, reported and audited as one of today."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from rich.console import Console

from testbed.report.tables import print_run
from testbed.results.audit import audit_run
from testbed.results.columns import EVENTS, LINKS, REQUESTS, SCHEMA_VERSION, TIERS
from testbed.results.directory import RunDirectory
from testbed.results.fidelity import CLAIMS
from testbed.results.summary import summarise
from testbed.scenario.scenario import Scenario
from tests import ROOT

RUN = ROOT / "tests" / "data" / "run-v1"
INTERVALS = ("latency_ms", "latency_ms_ci", "latency_vs_cloud_only")
"""What a summary has by another rule since: latencies are no longer taken for independent values."""


@pytest.fixture
def old() -> RunDirectory:
    directory = RunDirectory.open(RUN)
    assert directory.read_json("manifest.json")["schema_version"] == 1 < SCHEMA_VERSION
    return directory


def test_it_is_as_it_was_left_and_its_decisions_come_out_the_same(old: RunDirectory) -> None:
    found = audit_run(old)
    assert found.decisions > 0
    assert found.differences == ()


def test_its_tables_have_the_columns_of_today_and_null_where_it_counted_nothing(old: RunDirectory) -> None:
    tables = {"requests": REQUESTS, "links": LINKS, "tiers": TIERS, "events": EVENTS}
    rows = {name: old.read_table(f"{name}.parquet") for name in tables}
    for name, schema in tables.items():
        assert rows[name]
        assert set(rows[name][0]) == set(schema.names)
    assert {(row["duplicated_frames"], row["held_frames"]) for row in rows["links"]} == {(None, None)}
    assert {row["waited_s"] for row in rows["tiers"]} == {None}
    assert [row["made_up"] for row in rows["requests"] if row["made_up"] is not None] == []
    assert all(row["frames"] > 0 for row in rows["links"] if row["method"] == "cloud-only")


def test_its_summary_is_made_again_from_its_tables(old: RunDirectory) -> None:
    scenario = Scenario.model_validate(old.read_json("manifest.json")["scenario"])
    requests, links = (old.read_table(f"{name}.parquet") for name in ("requests", "links"))
    faithful = old.read_json("fidelity.json")["faithful"]
    again, then = summarise(scenario, requests, links, faithful), old.read_json("summary.json")
    assert again["faithful"] == then["faithful"]
    assert again["methods"].keys() == then["methods"].keys()
    for name, figures in then["methods"].items():
        now = json.loads(json.dumps(again["methods"][name]))
        assert {key: now[key] for key in figures if key not in INTERVALS} == {
            key: figures[key] for key in figures if key not in INTERVALS
        }
        added = now.keys() - figures.keys()
        unknown = {"made_up_answers", "burden_paper_bytes", "burden_paper_vs_cloud_only"}
        assert added == {
            "offload",
            "theory",
            "degraded",
            "skipped",
            "made_up_inferences",
            "macro_f1",
            "macro_f1_ci",
            *unknown,
        }
        assert {now[key] for key in unknown} == {None}  # of which such a run tells nothing


def test_its_report_is_printed(old: RunDirectory) -> None:
    out = StringIO()
    print_run(old, Console(file=out, width=150))
    text = out.getvalue()
    for words in ("cloud-only", "recserve", "device1-edge1", "May it be believed", *CLAIMS):
        assert words in text
