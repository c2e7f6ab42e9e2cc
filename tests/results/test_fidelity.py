"""Each claim falls by its own reasons, and by no other's."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from testbed.results.columns import EventRow
from testbed.results.evidence import (
    Audit,
    BacklogReport,
    BreakerReport,
    BrokenOff,
    ChangedFile,
    CpuReport,
    Evidence,
    Lateness,
    LinkAccount,
    Outcomes,
    Overflow,
    OwnTime,
    ProbeReport,
    StoodStill,
    TierLimit,
    Unexplained,
)
from testbed.results.fidelity import CLAIMS, Claim, Fidelity, judge
from testbed.scenario.expected import held
from testbed.scenario.reports import ActLateness, ProcessReport
from tests.scenario.test_event_checks import REPORT

ACCOUNT = LinkAccount("recserve", "device1-edge1", "up", frames=900, frame_bytes=120_000, unaccounted_bytes=0)
ROUND_TRIP = held("device1-edge1", "both", "round trip", "ms", 20.1, 20.3, (19.1, 21.1), 50)
SLOW_LINK = held("device1-edge1", "up", "rate", "bit/s", 20e6, 14.5e6, (19.8e6, 20.2e6), 1200)
PROBE = ProbeReport(
    "probe1", expected_ms=20.1, jitter_ms=0, loss=0, sent=300, answered=300,
    median_ms=20.2, felt_median_ms=20.3, felt_p99_ms=21.0, felt_max_ms=23.0,
)  # fmt: skip
CPU = CpuReport(cpus=2, seconds=60, samples=240, busy=0.4, steal=0.0, contended=0.01)
TIER = TierLimit(
    "device1", cpus_asked=0.25, cpus=0.25, periods=600, throttled_periods=60, throttled_s=2.5,
    requests={"recserve": 50}, ran_s={"recserve": 6.0}, waited_s={"recserve": 0.1},
)  # fmt: skip
PROCESS = ProcessReport(
    put_on_wire=ActLateness(1800, 0.14, 0.28, 1.2), handed_on=ActLateness(1800, 0.15, 0.30, 1.3),
    socket_dropped_frames=0, clock_jumps=0, real_time=True, locked=True, cpu_by_second=(0.01, 0.02, 0.01),
)  # fmt: skip
OWN = OwnTime("recserve", "device1", "r7", at_s=12.0, own_ms=800.0, explained_ms=795.0)
FROZEN = StoodStill("recserve", "edge1", "frozen", at_s=10.1, seconds=4.0)
UNEXPLAINED = Unexplained("recserve", 200, 200, p1_ms=0.2, p50_ms=0.4, p99_ms=0.9, max_ms=2.5)
SOUND = Evidence(
    accounts=[ACCOUNT],
    audit=Audit(decisions=200),
    outcomes=[Outcomes("recserve", 200, {"answered": 198, "deadline": 2})],
    links_before=[ROUND_TRIP],
    links_after=[ROUND_TRIP],
    lateness=[Lateness("recserve", 200, 0.3, 1.2, 4.0)],
    unexplained=[UNEXPLAINED],
    backlog={"recserve": [BacklogReport("device1-edge1", "up", 100, 7, 9_000)]},
    cpu={"recserve": CPU},
    probes={"recserve": [PROBE]},
    tiers=[TIER],
    machine_cpus=2,
    link_process={"recserve": PROCESS},
    stood_still=[],
    own_times=[OWN],
)


def only(claim: Claim, verdict: Fidelity) -> str:
    """The one reason against ``claim``; every other claim must stand."""
    assert {other for other in CLAIMS if not verdict.faithful[other]} == {claim}
    (reason,) = verdict.reasons[claim]
    return reason


def test_a_sound_run_is_believed_in_everything() -> None:
    assert judge(SOUND).faithful == {"bytes": True, "decisions": True, "quality": True, "latency": True}


@pytest.mark.parametrize(
    ("field", "claim"),
    [
        ("tiers.cloud.model.path", "quality"),
        ("task.dataset.file", "quality"),
        ("methods.mine.policy", "decisions"),
        ("links.core.delay.file", "latency"),
    ],
)
def test_a_file_that_changed_speaks_against_what_rests_on_it(field: str, claim: Claim) -> None:
    changed = ChangedFile(field, "/data/it", "was changed or replaced")
    said = only(claim, judge(replace(SOUND, changed_files=[changed])))
    assert said.startswith(f"{field}: /data/it was changed or replaced during the run")


def test_nothing_shown_is_nothing_believed() -> None:
    verdict = judge(Evidence())
    assert not any(verdict.faithful.values())
    assert "decisions were not audited" in verdict.reasons["decisions"]
    assert "the links were not measured before the replay" in verdict.reasons["latency"]


def test_a_run_that_ended_before_any_replay_has_that_one_reason_against_everything() -> None:
    changed = ChangedFile("methods.mine.policy", "mine.py", "was changed or replaced")
    early = Evidence(accounts=[], outcomes=[], not_replayed=["mine"], audit=Audit(0), changed_files=[changed])
    verdict = judge(early)
    assert not any(verdict.faithful.values())
    assert {claim: reasons[0] for claim, reasons in verdict.reasons.items()} == dict.fromkeys(
        CLAIMS, "no method was replayed"
    )
    assert {claim for claim in CLAIMS if len(verdict.reasons[claim]) > 1} == {"decisions"}
    assert verdict.notes == ()


def test_a_run_that_ended_after_a_method_is_judged_by_that_one() -> None:
    verdict = judge(replace(SOUND, not_replayed=["mine"]))
    assert only("quality", verdict) == "mine was not replayed"


@pytest.mark.parametrize(
    ("account", "words"),
    [
        (replace(ACCOUNT, unaccounted_bytes=66), "66 of 120000 bytes"),
        (replace(ACCOUNT, unaccounted_bytes=-66), "-66 of 120000 bytes"),
        (replace(ACCOUNT, unaccounted_frames=1), "1 of 900 frames"),
        (replace(ACCOUNT, unattributed_bytes=13), "13 bytes of text belong to no request of the trace"),
        (replace(ACCOUNT, capture_dropped_frames=3), "capture lost 3 frames"),
        (replace(ACCOUNT, quiet=False), "never came to rest"),
        (replace(ACCOUNT, contradictions=("the link process took 8 of 9 frames",)), "up: the link process"),
    ],
)
def test_bytes_fall_by_what_is_not_accounted_for(account: LinkAccount, words: str) -> None:
    reason = only("bytes", judge(replace(SOUND, accounts=[ACCOUNT, account])))
    assert words in reason
    assert "recserve, device1-edge1" in reason


def test_a_queue_that_dropped_and_a_way_that_lost_are_no_reason() -> None:
    busy = replace(ACCOUNT, queue_dropped_frames=40, lost_frames=12)
    assert judge(replace(SOUND, accounts=[busy])).faithful["bytes"]


def test_decisions_fall_by_one_difference() -> None:
    audit = Audit(200, ("device1, request r0007: threshold 0.5 recorded, 0.4 replayed",))
    assert "r0007" in only("decisions", judge(replace(SOUND, audit=audit)))


def test_decisions_fall_by_records_that_a_node_forgot() -> None:
    full = Overflow("recserve", "edge1", forgotten=7)
    assert "edge1 had no room for 7" in only("decisions", judge(replace(SOUND, overflows=[full])))


@pytest.mark.parametrize(
    ("outcomes", "words"),
    [
        (Outcomes("recserve", 200, {"answered": 199}), "200 requests have 199 outcomes"),
        (Outcomes("recserve", 200, {"answered": 200}, repeated=1), "more than one outcome"),
        (
            Outcomes("recserve", 200, {"answered": 200}, made_up={"device": 0, "edge": 3}),
            "recserve: edge made up 3 answers that its recordings lack",
        ),
        (
            Outcomes("recserve", 9, {"answered": 9}, strange_answers=5, strange_answer="LABEL_1"),
            "5 answers are none of the task's labels, 'LABEL_1' for one",
        ),
        (
            Outcomes("recserve", 9, {"answered": 9}, strange_answers=1),
            "1 answers are none of the task's labels, null for one",
        ),
        (
            Outcomes("recserve", 9, {"answered": 9}, unscored=2, unscored_why="score raised KeyError: 'x'"),
            "recserve: 2 answers have no score: score raised KeyError: 'x'",
        ),
    ],
)  # fmt: skip
def test_quality_falls_by_a_request_without_one_outcome_and_an_answer_that_cannot_be_right(
    outcomes: Outcomes, words: str
) -> None:
    assert words in only("quality", judge(replace(SOUND, outcomes=[outcomes])))


def test_requests_that_failed_while_a_tier_stood_still_speak_against_quality_by_its_name() -> None:
    verdict = judge(replace(SOUND, stood_still=[replace(FROZEN, failed=3)]))
    assert verdict.reasons["quality"] == (
        "recserve: 3 requests failed, or got a stand-in answer, that were under way while edge1 stood still, "
        "and no event of the scenario asked for that",
    )
    assert judge(replace(SOUND, stood_still=[FROZEN])).faithful["quality"]


@pytest.mark.parametrize(
    ("ended", "degraded", "failed"),
    [({"answered": 190, "connection": 10}, 0, 10), ({"answered": 200}, 7, 7), ({"answered": 200}, 0, 0)],
)
def test_requests_that_failed_for_a_tier_that_ended_speak_against_quality_by_its_name(
    ended: dict[str, int], degraded: int, failed: int
) -> None:
    outcomes, broken = (
        Outcomes("recserve", 200, ended, degraded=degraded),
        BrokenOff("recserve", 200, 200, ("edge1",)),
    )
    reasons = judge(replace(SOUND, outcomes=[outcomes], broken_off=[broken])).reasons["quality"]
    said = "requests failed, or got a stand-in answer, and edge1 had ended or did not answer"
    assert reasons == ((f"recserve: {failed} {said}",) if failed else ())
    assert judge(replace(SOUND, outcomes=[outcomes])).faithful["quality"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"links_before": [SLOW_LINK]}, "before the replay, device1-edge1 (up): rate 1.45e+07 bit/s"),
        ({"links_after": [ROUND_TRIP, SLOW_LINK]}, "after the replay"),
        ({"links_after": None}, "the links were not measured after the replay"),
        ({"links_after": None, "links_pending": True}, "it is judged at the next measurement"),
        ({"lateness": [Lateness("recserve", 200, 0.3, 55.0, 90.0)]}, "sent late, p99 55.0 ms"),
        ({"lateness": None}, "lateness was not recorded"),
        ({"unexplained": [replace(UNEXPLAINED, p99_ms=31.0)]}, "31.0 ms of the latencies at p99"),
        ({"unexplained": [Unexplained.of("recserve", [-80.0] * 200, 200)]}, "80.0 ms more than latencies"),
        ({"unexplained": [Unexplained.of("recserve", [0.5] * 197, 200)]}, "is known of 197 of 200 requests"),
        ({"unexplained": [Unexplained.of("recserve", [], 200)]}, "is known of 0 of 200 requests"),
        ({"unexplained": None}, "was not worked out"),
        ({"cpu": {"recserve": replace(CPU, contended=0.31)}}, "31% of the time more was runnable"),
        ({"cpu": {"recserve": replace(CPU, busy=0.99)}}, "busy for 99% of the time"),
        ({"cpu": {"recserve": replace(CPU, steal=0.05)}}, "hypervisor took away 5.0%"),
        ({"probes": {"recserve": [replace(PROBE, felt_p99_ms=60.0)]}}, "p99 round trip of 60.00 ms"),
        ({"probes": {"recserve": [replace(PROBE, late_p99_ms=48.0)]}}, "pinged 48.00 ms late at p99"),
        ({"probes": {"recserve": [replace(PROBE, median_ms=23.0)]}}, "median round trip of 23.00 ms"),
        ({"probes": {"recserve": [replace(PROBE, answered=298)]}}, "lost 2 of 300 pings"),
        ({"probes": {"recserve": [replace(PROBE, answered=0, median_ms=None)]}}, "answered none of 300"),
        ({"probes": {"recserve": [replace(PROBE, sent=0, answered=0, ended_early=True)]}}, "probe broke off"),
        ({"overflows": [Overflow("recserve", "edge1", 12, 310.0)]}, "edge1 12 requests waited for a thread"),
        ({"tiers": [replace(TIER, cpus_asked=4.0, cpus=1.0)]}, "was to have 4 CPUs and got 1"),
        ({"tiers": [replace(TIER, waited_s={"recserve": 0.9})]}, "18 ms a request and 13% of the time that"),
        ({"tiers": None}, "CPU limits are not known"),
        (
            {"quotas": {"edge1": [0.5, 0.05], "cloud1": [None]}},
            "edge1's limit of CPUs was changed from outside: 0.5, then 0.05",
        ),
        ({"stood_still": None}, "whether a tier stood still was not watched"),
        ({"own_times": None}, "whether a tier stood still was not watched"),
        ({"stood_still": [FROZEN]}, "edge1 stood still for 4.0 s from 10.1 s on, frozen by its control"),
        ({"stood_still": [replace(FROZEN, how="stopped", seconds=0.1)]}, "for 0.1 s from 10.1 s on, stopped"),
        (
            {"own_times": [OWN, replace(OWN, node="edge1", own_ms=4000.0, explained_ms=150.0)]},
            "edge1 took 4000 ms of its own for request r7 from 12.0 s on, of which its CPU time, its CPU "
            "limit and events explain 150 ms, with 250 ms allowed",
        ),
    ],
)  # fmt: skip
def test_latency_falls_alone(change: dict[str, object], words: str) -> None:
    assert words in only("latency", judge(replace(SOUND, **change)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lateness": [Lateness("recserve", 9000, 0.3, 1.2, 4000.0)]}, "a request was sent 4000 ms late"),
        (
            {"unexplained": [Unexplained("recserve", 9000, 9000, 0.2, 0.4, 0.9, 4000.0)]},
            "4000 ms of a latency are no tier's and no link's",
        ),
        (
            {"link_process": {"recserve": replace(PROCESS, handed_on=ActLateness(9000, 0.1, 0.3, 4000.0))}},
            "the link process held up a frame for 4000 ms",
        ),
    ],
)
def test_what_stood_still_once_is_named_where_percentiles_do_not_show_it(
    change: dict[str, object], words: str
) -> None:
    reason = only("latency", judge(replace(SOUND, **change)))  # type: ignore[arg-type]
    assert words in reason
    assert reason.endswith("with 250 ms allowed at most")


def test_a_device_that_an_event_had_stand_still_may_be_late_by_so_much_and_no_more() -> None:
    pause = EventRow("m", 1, "pause", "device1", 2.0, 3.0, took_effect_at_s=2.0, ended_at_s=5.0)
    spread = Unexplained("m", 500, 500, 0.1, 0.2, 0.3, 3200.0)
    late = replace(SOUND, unexplained=[spread], events=[pause])
    assert judge(late).faithful["latency"]
    reason = only("latency", judge(replace(late, unexplained=[replace(spread, max_ms=3300.0)])))
    assert reason.endswith("3300 ms of a latency are no tier's and no link's, with 3250 ms allowed at most")
    other = replace(pause, took_effect_at_s=None, ended_at_s=None, skipped=True)
    assert "with 250 ms" in only("latency", judge(replace(late, events=[other])))


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (
            replace(PROCESS, put_on_wire=ActLateness(1800, 0.2, 1.4, 7.5)),
            "frames were put on the wire 1.40 ms late at p99 and 7.50 ms at most, with 1 ms allowed",
        ),
        (
            replace(PROCESS, handed_on=ActLateness(1800, 0.2, 2.0, 7.5)),
            "frames were handed on 2.00 ms late at p99",
        ),
        (
            replace(PROCESS, cpu_by_second=(0.3, 0.85, 0.97, 0.8)),
            "used up to 97% of a CPU, and more than 80% in 2 of 4 seconds",
        ),
        (replace(PROCESS, clock_jumps=2), "clock was set 2 times"),
        (None, "did not say how late it was"),
    ],
)
def test_latency_falls_by_what_the_link_process_says_of_itself(
    report: ProcessReport | None, words: str
) -> None:
    reason = only("latency", judge(replace(SOUND, link_process={"recserve": report})))
    assert reason.startswith("recserve: the ")
    assert words in reason


def test_a_run_whose_link_process_nobody_asked_is_not_believed_in_its_latencies() -> None:
    assert "is not known" in only("latency", judge(replace(SOUND, link_process=None)))


def test_a_run_without_links_has_no_link_process_to_ask() -> None:
    assert judge(replace(SOUND, accounts=[], link_process={})).faithful["latency"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"accounts": [replace(ACCOUNT, dropped_frames=3)]}, "up: the kernel had no room for 3 frames"),
        ({"accounts": [replace(ACCOUNT, process_dropped_frames=4)]}, "up: the link process dropped 4 frames"),
        (
            {"link_process": {"recserve": replace(PROCESS, socket_dropped_frames=5)}},
            "recserve: the link process's sockets had no room for 5 frames",
        ),
    ],
)
def test_frames_dropped_on_the_way_speak_against_bytes_and_latency(
    change: dict[str, object], words: str
) -> None:
    verdict = judge(replace(SOUND, **change))  # type: ignore[arg-type]
    assert [claim for claim in CLAIMS if not verdict.faithful[claim]] == ["bytes", "latency"]
    (of_bytes,), (of_latency,) = verdict.reasons["bytes"], verdict.reasons["latency"]
    assert words in of_bytes
    assert of_bytes == of_latency


@pytest.mark.parametrize(
    ("report", "cost"),
    [
        (replace(PROCESS, real_time=False), "no real-time priority: where CPUs are busy, frames wait"),
        (replace(PROCESS, locked=False), "memory was not locked: where memory is short, frames wait"),
    ],
)
def test_a_link_process_without_its_privileges_is_noted_once_and_no_reason(
    report: ProcessReport, cost: str
) -> None:
    verdict = judge(replace(SOUND, link_process={"casserve": report, "recserve": report}))
    assert verdict.faithful["latency"]
    assert sum(cost in note for note in verdict.notes) == 1


def test_limits_that_add_up_to_more_than_the_machine_are_noted_and_no_reason() -> None:
    verdict = judge(replace(SOUND, tiers=[TIER, replace(TIER, cpus=12.75, cpus_asked=12.75)]))
    assert verdict.faithful["latency"]
    assert (
        "the tiers may use 13 CPUs together, and the machine has 2: what speaks against latency is a "
        "container that waited for a CPU"
    ) in verdict.notes


def test_where_the_kernel_does_not_tell_who_waited_limits_must_fit_the_machine() -> None:
    untold = replace(TIER, waited_s={"recserve": None})
    assert judge(replace(SOUND, tiers=[untold])).faithful["latency"]
    wide = replace(untold, cpus=2.0, cpus_asked=2.0)
    reason = only("latency", judge(replace(SOUND, tiers=[untold, wide])))
    assert "this kernel does not tell how long containers waited" in reason
    assert "2.25 CPUs together" in reason


@pytest.mark.parametrize(
    ("requests", "ran_s", "waited_s"),
    [(50, 60.0, 5.0), (150, 0.4, 0.4), (5, 0.1, 0.19), (0, 0.1, 0.5)],
    ids=["a small share", "little a request", "too little to matter", "no request felt it"],
)
def test_a_container_may_wait_a_little(requests: int, ran_s: float, waited_s: float) -> None:
    tier = replace(
        TIER,
        requests={"recserve": requests},
        ran_s={"recserve": ran_s},
        waited_s={"recserve": waited_s},
    )
    assert judge(replace(SOUND, tiers=[tier])).faithful["latency"]


def test_a_container_that_waited_while_no_request_was_there_delayed_none() -> None:
    waited = replace(TIER, ran_s={"recserve": 0.06}, waited_s={"recserve": 0.9})
    for served_s, believed in ((0.1, True), (0.8, False), (None, False)):
        tier = replace(waited, served_s={"recserve": served_s})
        assert judge(replace(SOUND, tiers=[tier])).faithful["latency"] == believed


def test_a_starved_machine_makes_latencies_wrong_and_leaves_bytes_right() -> None:
    starved = replace(
        SOUND,
        cpu={"recserve": replace(CPU, busy=1.0, contended=0.9)},
        probes={"recserve": [replace(PROBE, felt_p99_ms=140.0)]},
        lateness=[Lateness("recserve", 200, 12.0, 150.0, 400.0)],
    )
    verdict = judge(starved)
    assert verdict.faithful == {"bytes": True, "decisions": True, "quality": True, "latency": False}
    assert len(verdict.reasons["latency"]) == 4


def test_a_tier_throttled_by_its_own_limit_is_reported_and_no_reason() -> None:
    verdict = judge(SOUND)
    assert any("device1 was throttled by its own limit" in note and "10%" in note for note in verdict.notes)
    assert verdict.faithful["latency"]


def test_jitter_widens_what_a_probe_may_show() -> None:
    shaky = replace(PROBE, jitter_ms=4.0, felt_p99_ms=32.0)
    assert judge(replace(SOUND, probes={"recserve": [shaky]})).faithful["latency"]


def test_a_lossy_probe_may_lose() -> None:
    lossy = replace(PROBE, loss=0.05, answered=280)
    assert judge(replace(SOUND, probes={"recserve": [lossy]})).faithful["latency"]


def test_lateness_is_by_nearest_rank() -> None:
    late = Lateness.of("recserve", [float(ms) for ms in range(200, 0, -1)])
    assert (late.requests, late.p50_ms, late.p99_ms, late.max_ms) == (200, 100, 198, 200)
    assert Lateness.of("recserve", []).max_ms == 0


def test_what_a_killed_tier_took_with_it_is_noted_and_no_reason() -> None:
    few = Unexplained.of("recserve", [0.5] * 150, 200)
    killed = EventRow("recserve", 1, "kill", "edge1", 5.0, took_effect_at_s=5.0, late_ms=1.0)
    verdict = judge(replace(SOUND, unexplained=[few], events=[killed]))
    assert verdict.faithful["latency"]
    assert any("is known of 150 of 200 requests" in note for note in verdict.notes)


def test_a_method_that_nothing_answered_has_nothing_to_explain() -> None:
    assert judge(replace(SOUND, unexplained=[Unexplained.of("recserve", [], 0)])).faithful["latency"]


def test_what_there_is_to_say_of_a_link_that_is_as_configured_is_noted() -> None:
    weak = held("a-b", "up", "loss", "share", 1e-4, 0.0, (0.0, 5e-4), 12_000, "too few datagrams")
    verdict = judge(replace(SOUND, links_before=[weak]))
    assert verdict.faithful["latency"]
    assert any("before the replay, a-b (up): loss 0" in note and "too few" in note for note in verdict.notes)


def test_in_lockstep_nothing_can_be_late() -> None:
    verdict = judge(replace(SOUND, lateness=None, lockstep=True))
    assert verdict.faithful["latency"]
    assert any("lockstep" in note for note in verdict.notes)


def test_a_closed_loop_hides_queues_and_says_so() -> None:
    verdict = judge(replace(SOUND, closed_users=4))
    assert verdict.faithful["latency"]
    assert any("closed loop of 4 users" in note and "queue" in note for note in verdict.notes)


def test_the_json_holds_verdicts_reasons_and_evidence() -> None:
    written = json.loads(json.dumps(judge(replace(SOUND, links_after=[SLOW_LINK])).to_json()))
    assert written["faithful"] == {"bytes": True, "decisions": True, "quality": True, "latency": False}
    assert written["reasons"]["latency"][0].startswith("after the replay")
    assert written["links"]["before"][0]["measured"] == 20.3
    assert written["links"]["after"][0]["ok"] is False
    assert written["probes"]["recserve"][0]["felt_p99_ms"] == 21.0
    assert written["tiers"][0]["throttled_periods"] == 60
    assert written["lateness"][0]["p99_ms"] == 1.2
    assert written["unexplained"][0]["p99_ms"] == 0.9
    assert written["backlog"]["recserve"][0]["max_frames"] == 7
    assert written["link_process"]["recserve"]["handed_on"]["p99_ms"] == 0.3
    assert written["link_process"]["recserve"]["cpu_by_second"] == [0.01, 0.02, 0.01]
    assert written["tiers"][0]["waited_s"] == {"recserve": 0.1}


def test_an_event_that_failed_or_was_late_speaks_against_latency_and_nothing_else() -> None:
    before = judge(Evidence())
    for report, words in (
        (replace(REPORT, late_ms=80.0), "was 80 ms late, with 50 ms allowed"),
        (replace(REPORT, end_late_ms=70.0), "was 70 ms late"),
        (replace(REPORT, error="no such link"), "failed: no such link"),
    ):
        verdict = judge(Evidence(events=[report]))
        (more,) = set(verdict.reasons["latency"]) - set(before.reasons["latency"])
        assert more.startswith("recserve: event 2 (down of core at 3 s)")
        assert words in more
        assert verdict.reasons["bytes"] == before.reasons["bytes"]
    assert judge(Evidence(events=[REPORT])).reasons == before.reasons
    skipped = judge(Evidence(events=[replace(REPORT, skipped=True, late_ms=None)]))
    assert skipped.reasons == before.reasons
    assert any("was skipped" in note for note in skipped.notes)


def test_a_tier_without_recordings_makes_all_up_as_asked_which_is_noted_and_decides_nothing() -> None:
    outcomes = Outcomes(
        "recserve",
        200,
        {"answered": 200},
        made_up={"device": 200, "edge": 0},
        tiers_made_up=("device", "edge"),
    )
    judged = judge(replace(SOUND, outcomes=[outcomes]))
    assert judged.faithful["quality"]
    (note,) = [note for note in judged.notes if "made up" in note]
    assert note.startswith("all answers and confidences of device are made up")


def test_where_there_are_no_references_quality_is_of_outcomes_alone_and_a_note_says_so() -> None:
    found = judge(replace(SOUND, outcomes=[Outcomes("recserve", 9, {"answered": 9}, judged=False)]))
    assert found.faithful["quality"]
    assert any("there is nothing to judge" in note for note in found.notes)


def test_degraded_answers_and_breakers_that_opened_are_noted_and_decide_nothing() -> None:
    outcomes = Outcomes("recserve", 200, {"answered": 200}, degraded=31)
    breakers = [BreakerReport("recserve", "device1", opened=3, refused=28)]
    judged = judge(replace(SOUND, outcomes=[outcomes], breakers=breakers))
    assert judged.reasons == judge(SOUND).reasons
    answers, breaker = judged.notes[-2:]
    assert answers.startswith("recserve: 31 answers are degraded")
    assert breaker.startswith("recserve: the breaker of device1 opened (times: 3), and kept requests")
    assert judged.to_json()["breakers"] == [
        {"method": "recserve", "node": "device1", "opened": 3, "refused": 28}
    ]
