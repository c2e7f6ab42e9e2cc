"""This project's link shows what netem shows: times, rates, queues, fates, and what TCP makes of them."""

from __future__ import annotations

import statistics

import pytest
from scipy.stats import ks_2samp

from tests.reference.cases import Case, all_cases
from tests.reference.table import Seen, look, markdown, rows

pytestmark = [pytest.mark.reference, pytest.mark.root, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def seen() -> Seen:
    found = look(print)
    print(markdown(found))
    return found


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.name)
def test_both_links_show_the_same_figures(seen: Seen, case: Case) -> None:
    compared = [row for row in rows(seen) if row.case.name == case.name]
    apart = [f"{row.figure.name}: netem {row.netem}, own {row.own}" for row in compared if not row.agrees]
    assert compared
    assert apart == []


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_jitter_has_the_same_distribution_through_both(seen: Seen, distribution: str) -> None:
    """By Kolmogorov and Smirnov, around the median: netem's timers are later than ours."""
    name = f"jitter of 3 ms on 20 ms, {distribution}"
    spread = []
    for delays_ms, _ in (seen.netem[name], seen.own[name]):
        median_ms = statistics.median(delays_ms)
        spread.append([delay_ms - median_ms for delay_ms in delays_ms])
    assert ks_2samp(*spread).pvalue > 0.001
