"""The audit computes figures again, so that a changed one is found, although the run was sealed again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testbed.errors import TestbedError
from testbed.results.audit import audit_run
from testbed.results.columns import SCHEMA_VERSION, TABLES
from testbed.results.directory import RunDirectory
from testbed.results.fidelity import SCHEMA
from testbed.results.limits import Limits
from testbed.results.seals import SUMS
from testbed.results.whole import FIDELITY_SCHEMAS
from tests import ROOT

RUN = ROOT / "tests" / "data" / "run-v6"
Change = Callable[[dict[str, Any]], None]
SUMMARY = json.loads((RUN / "summary.json").read_bytes())


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A copy of a run of today, to be changed."""
    return RunDirectory(Path(shutil.copytree(RUN, tmp_path / "run")))


def differences(run: RunDirectory) -> tuple[str, ...]:
    """What the audit of a run says that was sealed again."""
    run.seal()
    return audit_run(run).differences


def test_of_a_run_that_nobody_changed_all_comes_out_the_same(run: RunDirectory) -> None:
    assert audit_run(run).differences == ()


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    below = [leaf for step, one in steps for leaf in _leaves(one, (*path, step))]
    yield from below or [path]


def _other(value: Any) -> Any:
    """A value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1 if isinstance(value, int) else value * 1.001 + 1e-6
    return 0.5 if value is None else "x"


@settings(
    max_examples=40,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(path=st.sampled_from([path for path in _leaves(SUMMARY) if path]))
def test_no_figure_of_the_summary_can_be_changed_unseen(run: RunDirectory, path: tuple[Any, ...]) -> None:
    changed = json.loads(json.dumps(SUMMARY))
    *above, last = path
    holder = changed
    for step in above:
        holder = holder[step]
    holder[last] = _other(holder[last])
    run.write_json("summary.json", changed)
    try:
        found = differences(run)
    except TestbedError as error:  # it cannot be such a figure at all
        found = (str(error),)
    assert any("summary.json" in text for text in found), found


def test_a_figure_that_was_taken_away_or_put_in_is_found(run: RunDirectory) -> None:
    changed = json.loads(json.dumps(SUMMARY))
    del changed["methods"]["recserve"]["macro_f1"]
    changed["methods"]["recserve"]["lead"] = 3.0
    run.write_json("summary.json", changed)
    assert differences(run) == (
        "summary.json: methods.recserve.macro_f1 is missing",
        "summary.json: methods.recserve.lead is no figure of such a run",
    )


def _reasons(fidelity: dict[str, Any]) -> None:
    fidelity["reasons"]["decisions"] = ["the host was busy"]
    fidelity["faithful"]["decisions"] = False


def _verdict(fidelity: dict[str, Any]) -> None:
    fidelity["reasons"]["latency"] = []
    fidelity["faithful"]["latency"] = True


def _alone(fidelity: dict[str, Any]) -> None:
    fidelity["faithful"]["latency"] = True


def _measured(fidelity: dict[str, Any]) -> None:
    fidelity["links"]["before"][0]["measured"] = 1e3


def _drops(fidelity: dict[str, Any]) -> None:
    fidelity["bytes"][0]["capture_dropped_frames"] = 3


def _limits(fidelity: dict[str, Any]) -> None:
    fidelity["limits"]["lateness_p99_ms"] = 1e4


def _lateness(fidelity: dict[str, Any]) -> None:
    fidelity["lateness"][0]["p99_ms"] = 0.25


def _outcomes(fidelity: dict[str, Any]) -> None:
    fidelity["outcomes"][0]["ended"] = {"answered": 15, "timeout": 1}


def _frames(fidelity: dict[str, Any]) -> None:
    fidelity["bytes"][0]["frames"] += 1


def _served(fidelity: dict[str, Any]) -> None:
    fidelity["tiers"][0]["served_s"] = {"cloud-only": 1e-4}


def _of_no_schema(fidelity: dict[str, Any]) -> None:
    fidelity["schema"] = 99


def _lacking(fidelity: dict[str, Any]) -> None:
    del fidelity["quotas"]


def _no_evidence(fidelity: dict[str, Any]) -> None:
    fidelity["probes"] = {"recserve": [{"link": 3}]}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_reasons, "decisions is false, and nothing in its evidence speaks against it"),
        (_verdict, "latency is true, and its evidence speaks against it: cloud-only: "),
        (_alone, "latency is true, and its reasons say otherwise"),
        (_measured, "device1-cloud1: round trip 1000 ms, expected 5.0784 to 7.0784: is called right"),
        (
            _drops,
            "bytes is true, and its evidence speaks against it: cloud-only, device1-cloud1: the capture",
        ),
        (_limits, "its limits are not those by which this version judges"),
        (_lateness, "lateness of cloud-only: p99_ms is 0.25, and requests.parquet gives "),
        (_outcomes, "outcomes of cloud-only are not those of requests.parquet"),
        (_frames, "device1-cloud1 up under cloud-only: frames is "),
        (_served, "served_s of device1 under cloud-only is 0.0001, and requests.parquet gives "),
        (_of_no_schema, "schema is 99, and runs of schema version 6 have 3 or 4 or 5"),
        (_lacking, "it lacks quotas, on which its verdicts rest"),
        (_no_evidence, "its evidence is none: probes.recserve.1.link must be a"),
    ],
    ids=lambda value: getattr(value, "__name__", "")[1:] or None,
)
def test_a_verdict_or_evidence_that_was_changed_is_found(
    run: RunDirectory, change: Change, sentence: str
) -> None:
    fidelity = run.read_json("fidelity.json")
    change(fidelity)
    run.write_json("fidelity.json", fidelity)
    summary = run.read_json("summary.json")
    run.write_json("summary.json", summary | {"faithful": fidelity["faithful"]})
    assert [text for text in differences(run) if text.startswith(f"fidelity.json: {sentence}")]


@pytest.mark.parametrize(
    ("table", "column", "sentence"),
    [
        ("requests.parquet", "latency_ms", "requests.parquet: {request_id} under {method}: latency_ms is"),
        ("requests.parquet", "sent_at_s", "requests.parquet: {request_id} under {method}: lateness_ms is"),
        ("requests.parquet", "correct", "requests.parquet: {request_id} under {method}: correct is"),
        ("requests.parquet", "reference", "requests.parquet: {request_id} under {method}: correct is"),
        ("requests.parquet", "prompt_bytes", "requests.parquet: {request_id} under recserve: reference or"),
        ("requests.parquet", "cost", "requests.parquet: {request_id} under {method}: cost is"),
        ("events.parquet", "late_ms", "fidelity.json: its events are not those of events.parquet"),
        ("links.parquet", "frame_bytes", "links.parquet: {link} {direction} under {method}: frame_bytes is"),
        ("links.parquet", "unattributed_bytes", "links.parquet: {link} {direction} under {method}: "),
        ("tiers.parquet", "inferences", "tiers.parquet: {node} under {method}: "),
        ("tiers.parquet", "inference_ms", "tiers.parquet: {node} under {method}: inference_ms is "),
        ("tiers.parquet", "kept", "tiers.parquet: {node} under {method}: kept is "),
        ("tiers.parquet", "cpu_seconds", "fidelity.json: ran_s of {node} is "),
        ("tiers.parquet", "breaker_opened", "fidelity.json: its breakers are not those of tiers.parquet"),
        ("tiers.parquet", "throttled_s", "fidelity.json: throttled_s of {node} is "),
    ],
)
def test_a_table_that_was_changed_is_found(run: RunDirectory, table: str, column: str, sentence: str) -> None:
    rows = run.read_table(table)
    row = rows[0]
    row[column] = _other(row[column])
    run.write_table(table, rows, TABLES[table])
    assert [text for text in differences(run) if text.startswith(sentence.format(**row))]


def test_what_scales_with_a_whole_table_is_found_too(run: RunDirectory) -> None:
    """Answers given to a better method: all of its rows, and its summary, but not what nodes recorded."""
    rows = run.read_table("requests.parquet")
    for row in rows:
        if row["method"] == "recserve":
            row |= {"answer": row["reference"], "correct": True}
    run.write_table("requests.parquet", rows, TABLES["requests.parquet"])
    found = differences(run)
    assert any("which is not what the nodes recorded" in text for text in found)
    assert any(text.startswith("summary.json: methods.recserve.accuracy is") for text in found)


@pytest.fixture
def old(tmp_path: Path) -> RunDirectory:
    """A copy of a run of the first version, to be changed."""
    return RunDirectory(Path(shutil.copytree(ROOT / "tests" / "data" / "run-v1", tmp_path / "old")))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("prompt_bytes", 1),
        ("latency_ms.p50", 6.5),
        ("latency_ms.p95", 20.0),
        ("latency_vs_cloud_only.difference_ms", -9.0),
    ],
)
def test_in_a_run_of_an_earlier_version_too(old: RunDirectory, path: str, value: float) -> None:
    summary = old.read_json("summary.json")
    holder, (*above, last) = summary["methods"]["recserve"], path.split(".")
    for step in above:
        holder = holder[step]
    holder[last] = value
    old.write_json("summary.json", summary)
    (found,) = differences(old)
    assert found.startswith(f"summary.json: methods.recserve.{path} is {value}, and the tables give")


def test_a_method_that_an_earlier_version_s_summary_lacks_is_found(old: RunDirectory) -> None:
    summary = old.read_json("summary.json")
    del summary["methods"]["recserve"]
    old.write_json("summary.json", summary)
    assert differences(old) == ("summary.json: methods.recserve is missing",)


@pytest.mark.parametrize(
    "name",
    [
        "summary.json",
        "fidelity.json",
        "links.parquet",
        "tiers.parquet",
        "events.parquet",
        "trace.jsonl",
        "scenario.yaml",
        "captures/recserve/device1-cloud1.pcap",
    ],
)
def test_a_file_that_a_finished_run_has_is_told_if_it_is_gone(run: RunDirectory, name: str) -> None:
    """What it would be held against goes with it, so that the change of a figure shows nowhere else."""
    changed = json.loads(json.dumps(SUMMARY))
    changed["methods"]["recserve"]["accuracy"] = 0.99
    changed["faithful"] = dict.fromkeys(changed["faithful"], True)
    run.write_json("summary.json", changed)
    (run.path / name).unlink()
    assert f"{name} is missing" in differences(run)
    (run.path / SUMS).unlink()
    assert audit_run(run).differences.count(f"{name} is missing") == 1


@pytest.mark.parametrize(
    ("table", "wanted"),
    [
        ("links.parquet", {"links.parquet: has no row of recserve"}),
        (
            "tiers.parquet",
            {
                f"tiers.parquet: has no row of {node} under recserve"
                for node in ("device1", "device2", "cloud1")
            },
        ),
    ],
)
def test_so_are_the_rows_of_a_method(run: RunDirectory, table: str, wanted: set[str]) -> None:
    rows = [row for row in run.read_table(table) if row["method"] != "recserve"]
    run.write_table(table, rows, TABLES[table])
    assert wanted <= set(differences(run))


@pytest.mark.parametrize(("name", "tells"), [("tiers.parquet", True), ("trace.jsonl", False)])
def test_so_it_is_of_one_that_ended_early_as_far_as_it_came(
    run: RunDirectory, name: str, tells: bool
) -> None:
    early: dict[str, Any] = {"status": "interrupted", "ended_by": None, "broken_off": []}
    run.write_json("manifest.json", run.read_json("manifest.json") | early)
    (run.path / name).unlink()
    assert (f"{name} is missing" in differences(run)) == tells


def test_a_run_that_never_ended_lacks_files_and_is_audited_as_far_as_it_came(run: RunDirectory) -> None:
    run.write_json("manifest.json", run.read_json("manifest.json") | {"status": "running"})
    for name in ("summary.json", "fidelity.json", "tiers.parquet"):
        (run.path / name).unlink()
    assert differences(run) == ()


def test_a_run_that_is_called_older_than_its_tables_is_told_and_still_audited(run: RunDirectory) -> None:
    run.write_json("manifest.json", run.read_json("manifest.json") | {"schema_version": 5})
    changed = json.loads(json.dumps(SUMMARY))
    changed["methods"]["recserve"]["latency_ms"]["p50"] /= 2
    run.write_json("summary.json", changed)
    columns, p50, schema = differences(run)
    assert columns == (
        "requests.parquet: has batch_sizes, prompt_tokens, generated_tokens, cost, backend_ms, and runs of "
        "schema version 5, as manifest.json has it, have no such columns"
    )
    assert p50.startswith("summary.json: methods.recserve.latency_ms.p50 is ")
    assert schema == "fidelity.json: schema is 3, and runs of schema version 5 have 2"


@pytest.mark.parametrize("schema", [1, 2, 3, 4, 6, True, None])
def test_verdicts_that_are_called_older_are_told_or_given_again(run: RunDirectory, schema: Any) -> None:
    fidelity = run.read_json("fidelity.json")
    run.write_json("fidelity.json", fidelity | {"schema": schema})
    wanted = {f"fidelity.json: schema is {schema!r}, and runs of schema version 6 have 3 or 4 or 5"}
    assert set(differences(run)) == (set() if schema in (3, 4) else wanted)
    _verdict(fidelity)
    run.write_json("fidelity.json", fidelity | {"schema": schema})
    run.write_json("summary.json", SUMMARY | {"faithful": fidelity["faithful"]})
    (found,) = differences(run)
    assert found in wanted or found.startswith("fidelity.json: latency is true, and its evidence speaks")


def test_verdicts_are_held_to_the_limits_of_their_schema(run: RunDirectory) -> None:
    fidelity = run.read_json("fidelity.json") | {"schema": SCHEMA}
    run.write_json("fidelity.json", fidelity)
    assert differences(run) == (
        "fidelity.json: its limits are not those by which this version judges",
        "fidelity.json: latency is false, and nothing in its evidence speaks against it",
    )
    _verdict(fidelity)
    run.write_json("fidelity.json", fidelity | {"limits": asdict(Limits())})
    run.write_json("summary.json", SUMMARY | {"faithful": fidelity["faithful"]})
    assert differences(run) == ()


def test_every_schema_version_has_verdicts_of_known_schemas() -> None:
    assert list(FIDELITY_SCHEMAS) == list(range(1, SCHEMA_VERSION + 1))
    assert max(FIDELITY_SCHEMAS[SCHEMA_VERSION]) == SCHEMA
