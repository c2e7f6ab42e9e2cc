"""The audit finds nothing in a true run, and every bit in one that was tampered with."""

from __future__ import annotations

import copy
import math
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from testbed.results.audit import audit as audit_rows
from testbed.results.audit import audit_run
from testbed.results.columns import LINKS, REQUESTS, SCHEMA_VERSION
from testbed.results.directory import ANSWERS, CALIBRATION, RunDirectory
from testbed.results.seals import SUMS
from testbed.scenario.scenario import Scenario, load_scenario, with_methods, with_seed
from tests.results.filled import filled
from tests.results.simulated import TEXT, Row, answers, audit, calibrate, simulate


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    path = tmp_path_factory.mktemp("scenario") / "simulated.yaml"
    path.write_text(TEXT)
    return load_scenario(path)


@pytest.fixture(scope="module")
def rows(scenario: Scenario) -> list[Row]:
    return simulate(scenario)


@pytest.mark.parametrize("seed", range(5))
def test_a_true_run_shows_no_difference_whatever_the_order_of_its_rows(scenario: Scenario, seed: int) -> None:
    rows = simulate(scenario, seed=seed)
    random.Random(seed).shuffle(rows)
    found = audit(scenario, rows)
    assert found.differences == ()
    assert found.decisions > 16 * 200


@pytest.mark.parametrize("tier", ["device", "edge", "cloud"])
def test_requests_that_met_their_deadline_in_a_queue_leave_all_others_to_be_audited(
    scenario: Scenario, tier: str
) -> None:
    rows = simulate(scenario, undecided_at=tier)
    undecided = [row for row in rows if row["path"][-1][:-1] == tier and row["confidences"][-1] is None]
    assert len(undecided) > 40
    assert {row["outcome"] for row in undecided} >= {"deadline"}
    assert audit(scenario, rows).differences == ()
    for tamper in (_threshold, _sequence, _confidence):
        changed = copy.deepcopy(rows)
        tamper(_recserve(changed))
        assert audit(scenario, changed).differences


def test_a_node_without_a_decision_must_have_cost_someone_the_answer(scenario: Scenario) -> None:
    rows = simulate(scenario, undecided_at="edge")
    row = next(
        row for row in rows if row["method"] == "recserve" and row["path"][1:] and not row["confidences"][1]
    )
    assert row["outcome"] == "answered"
    row["forward_errors"][0] = None
    assert audit(scenario, rows).differences


def _recserve(rows: list[Row], enough: int = 10, method: str = "recserve") -> Row:
    return next(
        row
        for row in rows
        if row["method"] == method and row["window_lengths"][0] and row["window_lengths"][0] > enough
    )


def _threshold(row: Row) -> None:
    row["thresholds"][0] = math.nextafter(row["thresholds"][0], 1.0)


def _kept(row: Row) -> None:
    row["kept"][0] = not row["kept"][0]


def _sequence(row: Row) -> None:
    row["window_seqs"][0] += 1


def _length(row: Row) -> None:
    row["window_lengths"][0] -= 1


def _path(row: Row) -> None:
    row["path"][0] = "device1" if row["path"][0] != "device1" else "device2"


def _answer(row: Row) -> None:
    row["answer"] = "negative" if row["answer"] == "positive" else "positive"


def _tier(row: Row) -> None:
    row["tier"] = "cloud" if row["tier"] != "cloud" else "edge"


def _confidence(row: Row) -> None:
    row["confidences"][0] = 0.0 if row["kept"][0] else 1.0


def _no_confidence(row: Row) -> None:
    row["confidences"][0] = None


def _degraded(row: Row) -> None:
    row["degraded"] = not row["degraded"]


def _nothing_recorded(row: Row) -> None:
    for name in ("confidences", "thresholds", "window_seqs", "window_lengths", "node_answers"):
        row[name][0] = None


def _threshold_of_its_own(row: Row) -> None:
    row["thresholds"][0] = 0.5


def _sequence_of_its_own(row: Row) -> None:
    row["window_seqs"][0] = 0


TAMPERS = [
    _threshold, _kept, _sequence, _length, _path, _answer, _tier, _confidence, _no_confidence,
    _nothing_recorded, _degraded,
]  # fmt: skip


@pytest.mark.parametrize(
    "method",
    ["recserve", "by-tier", "enter-after", "no-edge", "prefilled", "shared", "budget", "budget-of-bytes"],
)
@pytest.mark.parametrize("tamper", TAMPERS)
def test_each_thing_that_was_changed_is_found(
    scenario: Scenario, rows: list[Row], tamper: Callable[[Row], None], method: str
) -> None:
    alone, changed = _alone(scenario, rows, method)
    assert audit(alone, changed).differences == ()
    tamper(_recserve(changed, method=method))
    assert audit(alone, changed).differences


def _alone(scenario: Scenario, rows: list[Row], method: str) -> tuple[Scenario, list[Row]]:
    """A run of one of the methods, to be changed."""
    return with_methods(scenario, [method]), [copy.deepcopy(row) for row in rows if row["method"] == method]


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("by-tier", {"beta": {"device": 0.5, "edge": 0.2}}),
        ("by-tier", {"window": {"device": 30, "edge": 6}}),
        ("enter-after", {"enter": "before"}),
        ("recserve", {"enter": "after"}),
        ("no-edge", {"relay": ()}),
        ("prefilled", {"start": "cold"}),
        ("recserve", {"scope": "tier"}),
        ("shared", {"scope": "node"}),
        ("budget", {"share": 0.31}),
        ("budget", {"of": "bytes"}),
        ("length-router", {"longest": 91}),
        ("recserve", {"start": "prefilled"}),
        ("static-quantile", {"beta": {"device": 0.5, "edge": 0.4}}),
        ("by-share", {"calibrate": {"share": 0.5}}),
        ("by-accuracy", {"calibrate": {"accuracy": 0.1, "confidence": 0.5}}),
    ],
)
def test_a_run_under_other_parameters_is_not_this_one(
    scenario: Scenario, rows: list[Row], method: str, changes: dict[str, object]
) -> None:
    alone, of_method = _alone(scenario, rows, method)
    assert audit(alone, of_method).differences == ()
    (same,) = alone.methods
    other = alone.model_copy(update={"methods": (same.model_copy(update=changes),)})
    assert audit(other, of_method).differences


def test_a_row_that_is_missing_leaves_a_gap_in_a_window(scenario: Scenario, rows: list[Row]) -> None:
    kept = [row for row in rows if row is not _recserve(rows)]
    assert any("entered the window" in text for text in audit(scenario, kept).differences)


def test_a_row_that_is_missing_under_one_method_alone_is_missed(scenario: Scenario, rows: list[Row]) -> None:
    last = max(
        (row for row in rows if row["method"] == "recserve" and row["device"] == "device1"),
        key=lambda row: row["window_seqs"][0],
    )
    kept = [row for row in rows if row is not last]
    assert any("1 of 200 requests have no row" in text for text in audit(scenario, kept).differences)
    kept = [row for row in rows if row["method"] != "recserve"]
    assert any("200 of 200 requests have no row" in text for text in audit(scenario, kept).differences)
    assert any("has 2 rows" in text for text in audit(scenario, [*rows, last]).differences)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("confidences", None, "no confidence"),
        ("thresholds", 0.5, "has neither"),
        ("window_seqs", 0, "neither"),
    ],
)
def test_the_top_tier_infers_and_has_neither_threshold_nor_window(
    scenario: Scenario, rows: list[Row], column: str, value: float | None, words: str
) -> None:
    for method in ("casserve", "recserve"):
        changed = copy.deepcopy(rows)
        row = next(row for row in changed if row["method"] == method and len(row["path"]) == 3)
        row[column][2] = value
        assert any(words in text for text in audit(scenario, changed).differences)


def test_fixed_thresholds_are_held_against_the_scenario(scenario: Scenario, rows: list[Row]) -> None:
    changed = copy.deepcopy(rows)
    row = next(row for row in changed if row["method"] == "casserve")
    row["thresholds"][0] = 0.8000000001
    assert any("expected 0.8" in text for text in audit(scenario, changed).differences)


def test_a_tiers_window_is_rebuilt_in_the_order_of_requests(scenario: Scenario, rows: list[Row]) -> None:
    alone, of_method = _alone(scenario, rows, "shared")
    first, second = of_method[50], of_method[51]
    first["sent_at_s"], second["sent_at_s"] = second["sent_at_s"], first["sent_at_s"]
    assert any("entered the window" in text for text in audit(alone, of_method).differences)


def _of(rows: list[Row], method: str, hops: int = 1) -> Row:
    """The first request under a method that crossed so many hops."""
    return next(row for row in rows if row["method"] == method and len(row["path"]) > hops)


@pytest.mark.parametrize("tamper", [_threshold_of_its_own, _kept, _sequence_of_its_own, _no_confidence])
def test_a_lot_is_drawn_again_from_seed_method_node_and_request(
    scenario: Scenario, rows: list[Row], tamper: Callable[[Row], None]
) -> None:
    changed = copy.deepcopy(rows)
    tamper(_of(changed, "colserve"))
    assert audit(scenario, changed).differences
    assert audit(with_seed(scenario, 2), rows).differences
    other = scenario.model_copy(
        update={
            "methods": tuple(
                method.model_copy(update={"name": "other"}) if method.name == "colserve" else method
                for method in scenario.methods
            )
        }
    )
    renamed = [{**row, "method": row["method"].replace("colserve", "other")} for row in rows]
    assert audit(other, renamed).differences


def _another_answer(row: Row) -> None:
    row["node_answers"][0] = "negative" if row["node_answers"][0] == "positive" else "positive"


ORACLES = ["oracle", "oracle-no-edge"]


@pytest.mark.parametrize("method", ORACLES)
@pytest.mark.parametrize(
    "tamper", [_threshold_of_its_own, _kept, _sequence_of_its_own, _no_confidence, _another_answer]
)
def test_an_oracle_is_held_against_the_answers_that_it_knew(
    scenario: Scenario, rows: list[Row], tamper: Callable[[Row], None], method: str
) -> None:
    for hops in (0, 1):
        alone, changed = _alone(scenario, rows, method)
        assert audit(alone, changed).differences == ()
        tamper(next(row for row in changed if len(row["path"]) > hops))
        assert audit(alone, changed).differences


@pytest.mark.parametrize("method", ORACLES)
def test_other_answers_than_an_oracle_knew_are_found(
    scenario: Scenario, rows: list[Row], method: str
) -> None:
    alone, of_method = _alone(scenario, rows, method)
    for tier, answer in (("device", "positive"), ("cloud", "negative")):
        known = answers(scenario, 200)
        known[tier] = dict.fromkeys(known[tier], answer)
        assert audit_rows(alone, of_method, None, known).differences
    (difference,) = audit_rows(alone, of_method).differences
    assert "the answers that it knew are not recorded, so its decisions are not shown" in difference


@pytest.mark.parametrize("tamper", [_threshold_of_its_own, _kept, _sequence_of_its_own, _no_confidence])
def test_what_is_routed_by_length_is_held_against_the_prompts_length(
    scenario: Scenario, rows: list[Row], tamper: Callable[[Row], None]
) -> None:
    for hops in (0, 1):
        changed = copy.deepcopy(rows)
        row = next(
            row for row in changed if row["method"] == "length-router" and len(row["path"]) == hops + 1
        )
        if hops and tamper is _no_confidence:
            row["confidences"][0] = 0.5  # it has none, and must not
        else:
            tamper(row)
        assert audit(scenario, changed).differences


def test_the_confidence_has_no_part_in_a_lot(scenario: Scenario, rows: list[Row]) -> None:
    changed = copy.deepcopy(rows)
    for row in changed:
        if row["method"] == "colserve":
            row["confidences"] = [1 - confidence for confidence in row["confidences"]]
    assert audit(scenario, changed).differences == ()


@pytest.mark.parametrize("method", ["prefilled", "static-quantile", "by-share", "by-accuracy"])
@pytest.mark.parametrize("tier", ["device", "edge"])
def test_what_calibration_gave_is_computed_again_from_what_the_models_said(
    scenario: Scenario, rows: list[Row], method: str, tier: str
) -> None:
    recorded = calibrate(scenario)
    for answer in recorded["tiers"][tier]["answers"]:
        answer["confidence"] /= 2
    alone, of_method = _alone(scenario, rows, method)
    assert audit_rows(alone, of_method, calibrate(scenario)).differences == ()
    assert audit_rows(alone, of_method, recorded).differences


def test_without_what_the_models_said_no_calibrated_decision_is_shown(
    scenario: Scenario, rows: list[Row]
) -> None:
    differences = audit_rows(scenario, rows, None, answers(scenario, 200)).differences
    assert len(differences) == 6
    assert all("no calibration is recorded, so its decisions are not shown" in text for text in differences)


def test_a_tier_that_relays_and_yet_inferred_is_found(scenario: Scenario, rows: list[Row]) -> None:
    changed = copy.deepcopy(rows)
    row = _of(changed, "no-edge", hops=2)
    row["confidences"][1] = 0.5
    assert any("edge relays under this method" in text for text in audit(scenario, changed).differences)


def test_a_tier_below_that_inferred_under_cloud_only_is_found(scenario: Scenario, rows: list[Row]) -> None:
    changed = copy.deepcopy(rows)
    row = next(row for row in changed if row["method"] == "cloud-only")
    row["confidences"][0] = 0.5
    assert any("not served by tier cloud alone" in text for text in audit(scenario, changed).differences)


def test_an_answer_from_below_is_right_where_the_way_up_failed(scenario: Scenario, rows: list[Row]) -> None:
    changed = copy.deepcopy(rows)
    row = next(row for row in changed if row["method"] == "casserve" and row["path"][-1].startswith("cloud"))
    for name in ("path", "confidences", "thresholds", "window_seqs", "window_lengths", "kept"):
        row[name] = row[name][:2]
    row["node_answers"], row["forward_errors"] = row["node_answers"][:2], [None, "unreachable"]
    row |= {"answer": row["node_answers"][1], "tier": "edge", "degraded": True}
    assert audit(scenario, changed).differences == ()


def test_a_tier_is_skipped_only_where_the_scenario_says_so_and_the_record_says_why(
    scenario: Scenario, rows: list[Row]
) -> None:
    changed = copy.deepcopy(rows)
    row = next(row for row in changed if row["method"] == "casserve" and row["path"][-1].startswith("cloud"))
    for name in ("path", "confidences", "thresholds", "window_seqs", "window_lengths", "kept"):
        row[name] = [row[name][0], row[name][2]]
    row["node_answers"] = [row["node_answers"][0], row["node_answers"][2]]
    row["forward_errors"], row["skipped"] = [None, None], ["unreachable", None]
    skips = scenario.model_copy(update={"when_unreachable": "skip"})
    assert audit(skips, changed).differences == ()
    went, may_not = audit(scenario, changed).differences
    assert "which is not its parent" in went
    assert "asked past its parent, and may not" in may_not
    row["skipped"] = [None, None]
    (went,) = audit(skips, changed).differences
    assert "which is not its parent" in went


def test_a_skipped_tier_that_said_it_was_not_ready_made_no_decision(
    scenario: Scenario, rows: list[Row]
) -> None:
    changed = copy.deepcopy(rows)
    row = next(row for row in changed if row["method"] == "casserve" and row["path"][-1].startswith("cloud"))
    for name in ("confidences", "thresholds", "window_seqs", "window_lengths", "node_answers"):
        row[name][1] = None
    row["skipped"] = ["not_ready", None, None]
    skips = scenario.model_copy(update={"when_unreachable": "skip"})
    assert audit(skips, changed).differences == ()


def test_a_policy_without_a_rule_is_not_audited_and_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("class Mine: ...\n")
    text = TEXT.replace("methods:\n", "methods:\n  - {name: mine, policy: 'mine.py:Mine'}\n")
    (tmp_path / "mine.yaml").write_text(text)
    (difference,) = audit(load_scenario(tmp_path / "mine.yaml"), []).differences
    assert re.fullmatch(r"mine: policy .*mine.py:Mine has no rules here, .* not shown: none; .*", difference)


def timed(row: Row) -> Row:
    """A whole row, in which no time passes."""
    return filled(
        {**row, "scheduled_at_s": row["sent_at_s"], "done_at_s": row["sent_at_s"], "latency_ms": 0.0}
    )


@pytest.fixture
def sealed(tmp_path: Path, scenario: Scenario, rows: list[Row]) -> RunDirectory:
    directory = RunDirectory.create(tmp_path / "run", "simulated")
    # One that finished has verdicts, a summary and a capture of each link too.
    manifest = {"schema_version": SCHEMA_VERSION, "status": "failed", "run_id": "sim", "started_at": "now"}
    directory.write_json("manifest.json", {**manifest, "scenario": scenario.model_dump(mode="json")})
    directory.write_json(CALIBRATION, calibrate(scenario))
    directory.write_json(ANSWERS, answers(scenario, 200))
    directory.write_table("requests.parquet", list(map(timed, rows)), REQUESTS)
    directory.write_table("links.parquet", [], LINKS)
    directory.pcap("recserve", "device1-edge1").write_bytes(b"frames")
    directory.seal()
    return directory


def test_a_sealed_run_reads_back_as_it_was_judged(sealed: RunDirectory) -> None:
    assert audit_run(sealed).differences == ()


@pytest.mark.parametrize(
    "name",
    ["links.parquet", "manifest.json", "captures/recserve/device1-edge1.pcap", "requests.parquet", SUMS],
)
@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_one_bit_anywhere_is_found(sealed: RunDirectory, name: str, place: float) -> None:
    path = sealed.path / name
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)
    assert sealed.broken_seals()


def test_what_was_added_taken_away_or_never_sealed_is_told(sealed: RunDirectory) -> None:
    (sealed.path / "extra").write_text("x")
    (sealed.path / "links.parquet").unlink()
    assert sealed.broken_seals() == [f"extra is not in {SUMS}", "links.parquet is missing"]
    (sealed.path / SUMS).unlink()
    assert "the run did not end" in sealed.broken_seals()[0]
