"""Each judgement passes what is true and finds what is not, on data that chance made."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from testbed.errors import TestbedError
from testbed.report.checks import checks_table
from testbed.scenario.reading.rate_file import RateTrace
from testbed.validation import sojourn, twins
from testbed.validation.check import Check, CheckResult
from testbed.validation.figures import Figure, exactly, within
from testbed.validation.queueing import lindley_sojourns
from testbed.validation.rate_file import Played, due_ms
from testbed.validation.rate_file import judge as judge_rate_file
from testbed.validation.registry import select
from testbed.validation.search import Search
from testbed.validation.validate import run_check


def served(workload: sojourn.Workload, overhead_ms: float = 0.3, servers: int = 1) -> list[Figure]:
    """What is made of the workload at a server that takes ``overhead_ms`` longer each time, or at several."""
    chance = random.Random(7)
    services = [ms + overhead_ms * chance.uniform(0.5, 1.5) for ms in workload.services_ms]
    arrivals = [at_s * 1000 + chance.uniform(0, 0.5) for at_s in workload.arrivals_s]
    queue_ms = [0.0] * len(services)
    for first in range(servers):
        mine = slice(first, None, servers)
        sojourns = lindley_sojourns(arrivals[mine], services[mine])
        queue_ms[mine] = [s - service for s, service in zip(sojourns, services[mine], strict=True)]
    return list(sojourn.judge(workload, queue_ms, services))


@pytest.mark.parametrize("service", ["exponential", "fixed"])
@pytest.mark.parametrize("load", sojourn.LOADS)
def test_a_queue_of_one_server_is_found_true(service: sojourn.Service, load: float) -> None:
    figures = served(sojourn.draw(service, load, 20.0, 300))
    assert len(figures) == 4
    assert [figure for figure in figures if not figure.ok] == []


@pytest.mark.parametrize("service", ["exponential", "fixed"])
def test_two_servers_where_one_should_be_are_found_out(service: sojourn.Service) -> None:
    figures = served(sojourn.draw(service, 0.8, 20.0, 300), servers=2)
    assert not next(figure for figure in figures if figure.quantity.endswith("mean sojourn")).ok


@pytest.mark.parametrize(("overhead_ms", "figure"), [(-1.0, 1), (3.0, 1), (30.0, 0)])
def test_a_server_that_is_faster_or_slower_than_recorded_is_found_out(
    overhead_ms: float, figure: int
) -> None:
    figures = served(sojourn.draw("fixed", 0.3, 20.0, 300), overhead_ms)
    assert not figures[figure].ok


def test_a_host_that_stood_still_twice_is_told_apart_from_a_queue_that_is_wrong() -> None:
    workload = sojourn.draw("exponential", 0.8, 20.0, 300)
    services = [ms + 0.3 + 400 * (number in (70, 200)) for number, ms in enumerate(workload.services_ms)]
    sojourns = lindley_sojourns([at_s * 1000 for at_s in workload.arrivals_s], services)
    queue_ms = [s - service for s, service in zip(sojourns, services, strict=True)]
    figures = list(sojourn.judge(workload, queue_ms, services))
    assert figures[0].measured == 2
    assert [figure for figure in figures if not figure.ok] == []


def test_a_workload_is_the_same_every_time_and_has_its_load() -> None:
    one = sojourn.draw("exponential", 0.8, 20.0, 20_000)
    assert one == sojourn.draw("exponential", 0.8, 20.0, 20_000)
    assert sum(one.services_ms) / (one.arrivals_s[-1] * 1000) == pytest.approx(0.8, rel=0.03)


def rows(
    latency_ms: float = 50.0, requests: int = 60, noise: int = 1, noise_ms: float = 2.0
) -> list[dict[str, Any]]:
    chance = random.Random(noise)
    return [
        {
            "path": ["device1", "edge1"],
            "confidences": [0.7, 0.9],
            "thresholds": [0.8, None],
            "window_seqs": [number, 0],
            "kept": [False, True],
            "tier": "edge",
            "answer": "positive",
            "outcome": "answered",
            "latency_ms": latency_ms + chance.gauss(0, noise_ms) + number % 7,
        }
        for number in range(requests)
    ]


def test_twins_that_differ_in_noise_alone_are_alike() -> None:
    assert all(figure.ok for figure in twins.judge(rows(noise=1), rows(noise=2)))


def test_a_twin_that_is_slower_is_found_out() -> None:
    decisions, latency, sharpness = twins.judge(rows(noise=1), rows(latency_ms=55, noise=2))
    assert decisions.ok
    assert sharpness.ok
    assert not latency.ok
    assert latency.measured == pytest.approx(5, abs=1.5)


def test_twins_that_noise_makes_alike_show_nothing_and_fail() -> None:
    noisy = twins.judge(rows(noise=1, noise_ms=100), rows(latency_ms=55, noise=2, noise_ms=100))
    decisions, latency, sharpness = noisy
    assert decisions.ok
    assert latency.ok
    assert not sharpness.ok


@pytest.mark.parametrize(
    ("name", "value"), [("kept", [True, True]), ("answer", "negative"), ("thresholds", [0.8000000001, None])]
)
def test_one_decision_that_differs_is_found_out(name: str, value: Any) -> None:
    second = rows(noise=2)
    second[17][name] = value
    decisions, *_ = twins.judge(rows(noise=1), second)
    assert not decisions.ok
    assert decisions.measured == 1


TRACE = RateTrace(Path("x"), [500, 500, 1000, 1500, 1501, 2000])


def played(shift_ms: Mapping[int, float] | None = None, without: int | None = None) -> list[Figure]:
    """What is made of three turns of the file, each frame 0.1 ms late, some shifted, one left out."""
    due = due_ms(TRACE, 3)
    late_ms = dict.fromkeys(range(len(due)), 0.1) | dict(shift_ms or {})
    sent_ns = [
        round((1000 + at_ms + late_ms[number]) * 1e6) for number, at_ms in enumerate(due) if number != without
    ]
    return list(judge_rate_file(Played(sorted(sent_ns), 1000_000_000, 1000_400_000), due))


def test_a_rate_file_is_played_frame_by_frame_and_over_again() -> None:
    assert due_ms(TRACE, 2) == [*TRACE.opportunities_ms, 2500, 2500, 3000, 3500, 3501, 4000]
    figures = played()
    assert [figure for figure in figures if not figure.ok] == []
    assert [figure.measured for figure in figures[1:8]] == [3, 3, 3, 3, 3, 3, 18]


def test_a_frame_that_is_missing_or_leaves_in_another_second_is_found_out() -> None:
    assert {"x: second 2", "x: all of it"} <= {
        one.quantity.replace("up-and-down.mahi", "x") for one in played(without=4) if not one.ok
    }
    wrong = [one.quantity for one in played({2: 2.0}) if not one.ok]
    assert any("second 1" in one for one in wrong)
    assert any("99th percentile" in one for one in wrong)


def test_a_file_that_begins_long_after_it_was_asked_for_is_found_out() -> None:
    start, *_ = played(dict.fromkeys(range(18), 5.0))
    assert not start.ok


def test_a_figure_is_held_against_its_bounds_ends_included() -> None:
    assert within("a", "ms", 100, 105, 0.05).ok
    assert not within("a", "ms", 100, 105.1, 0.05).ok
    assert not within("a", "ms", 100, None, 0.05).ok
    assert not exactly("a", "frames", 10, 11).ok


class Tries:
    """A check that measures these values, one a time."""

    def __init__(self, *values: float | Exception) -> None:
        self.values = list(values)

    def __call__(self, _bench: Any) -> Iterator[Figure]:
        value = self.values.pop(0)
        if isinstance(value, Exception):
            raise value
        yield within("a time", "ms", 100, value, 0.05)


def outcome(*values: float | Exception, exact: bool = False) -> CheckResult:
    bench: Any = None  # these measure nothing
    return run_check(tried(*values, exact=exact), bench)


def tried(*values: float | Exception, exact: bool = False) -> Check:
    return Check("tried", "is it so", "by itself", Tries(*values), exact=exact)


def test_a_check_that_fails_once_is_repeated_and_says_so() -> None:
    result = outcome(120, 101)
    assert (result.verdict, result.attempts) == ("pass", 2)
    assert "120 ms, expected 95 to 105" in result.note
    assert (outcome(120, 121, 122).verdict, outcome(101).attempts) == ("fail", 1)


def test_an_exact_check_has_one_attempt() -> None:
    result = outcome(120, 100, exact=True)
    assert (result.verdict, result.attempts) == ("fail", 1)


def test_a_check_that_breaks_fails_with_its_reason() -> None:
    result = outcome(*(TestbedError(f"tc refused{again}") for again in ("", " twice", " again")))
    assert result.verdict == "fail"
    assert "tc refused again" in result.note
    with pytest.raises(TypeError):  # a defect of ours is no finding
        outcome(TypeError("a defect"))


def test_a_check_that_shows_nothing_fails() -> None:
    assert CheckResult(tried(), ()).verdict == "fail"
    assert CheckResult(tried(), (), ran=False).verdict == "not run"


def test_the_table_says_what_failed_and_what_did_not_run() -> None:
    results = [
        outcome(120, 122, 121),
        outcome(100),
        CheckResult(tried(), (), note="it did not come to it", ran=False),
    ]
    verdicts = {"pass": 1, "fail": 1, "not run": 1}
    validation = {
        "kernel": "6.1", "short": True, "verdicts": verdicts,
        "checks": [result.to_json() for result in results],
    }  # fmt: skip
    console = Console(width=160)
    with console.capture() as captured:
        console.print(checks_table(validation))
    shown = captured.get()
    assert "121 ms" in shown
    assert "FAIL" in shown
    assert "it did not come to it" in shown
    assert "1 pass, 1 fail, 1 not run" in shown


def test_a_check_that_does_not_exist_is_told() -> None:
    with pytest.raises(TestbedError, match="there is no check 'rates'; there are round-trip, "):
        select(["rates"])
    with pytest.raises(TestbedError, match="--only: name a check"):
        select([])
    assert [check.name for check in select(["loss", "rate"])] == ["rate", "loss"]


def found(limits: dict[str, int], start: int = 8, most: int = 1000) -> tuple[Search, int]:
    """The search over a machine where each claim holds up to its limit, and how many trials it took."""
    search, trials = Search(list(limits), start, most), 0
    while (value := search.next()) is not None:
        trials += 1
        assert trials < 50
        search.note(value, {claim: [f"beyond {limit}"] * (value > limit) for claim, limit in limits.items()})
    return search, trials


@pytest.mark.parametrize("limit", [1, 3, 7, 8, 15, 16, 100, 700, 999])
def test_a_limit_is_bracketed(limit: int) -> None:
    search, trials = found({"bytes": limit})
    bracket = search.bracket("bytes")
    assert bracket.holds is not None
    assert bracket.fails is not None
    assert bracket.holds <= limit < bracket.fails
    assert bracket.fails <= 1.25 * bracket.holds or bracket.fails - bracket.holds == 1
    assert bracket.reason == f"beyond {limit}"
    assert trials < 15


def test_one_search_brackets_several_claims_and_leaves_open_what_never_fails() -> None:
    search, trials = found({"bytes": 10_000, "latency": 90, "decisions": 300})
    never, latency, decisions = search.brackets
    assert (never.holds, never.fails) == (1000, None)
    assert latency.holds is not None
    assert latency.holds <= 90
    assert decisions.fails is not None
    assert decisions.fails > 300
    assert trials < 16


def test_the_claim_that_fails_first_is_bracketed_before_the_others_are_looked_for() -> None:
    search, tried = Search(["bytes", "latency"], 8, 4096), []
    while search.bracket("bytes").fails is None and (value := search.next()) is not None:
        tried.append(value)
        search.note(value, {"bytes": [], "latency": ["busy"] * (value > 20)})
    assert tried[:3] == [8, 16, 32]
    assert all(16 < value < 32 for value in tried[3:5])
    assert tried[5:] == [64, 128, 256, 512, 1024, 2048, 4096]


def test_what_never_holds_is_said() -> None:
    search, _ = found({"latency": 0})
    assert (search.bracket("latency").holds, search.bracket("latency").fails) == (None, 1)
