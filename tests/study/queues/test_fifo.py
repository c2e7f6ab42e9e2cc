"""Queues over arrays do what one customer after another would show, and what closed forms say of them."""

from __future__ import annotations

import numpy as np
import pytest

from testbed.study.queues.fifo import ByServer, Floats, Ints, departures, found_there, in_order, newly_opened
from testbed.validation.queueing import batch_means, lindley_sojourns, mg1_sojourn

CUSTOMERS = 400


def draws(seed: int, servers: int) -> tuple[Floats, Floats, Ints]:
    """Arrivals (some at the same time, in no order), services and servers."""
    rng = np.random.default_rng(seed)
    arrivals_s = np.round(rng.uniform(0, 100, CUSTOMERS), 1)
    return arrivals_s, rng.exponential(0.3 * servers, CUSTOMERS), rng.integers(0, servers, CUSTOMERS)


@pytest.mark.parametrize("servers", [1, 7, 300])
def test_each_server_is_a_queue_of_its_own(servers: int) -> None:
    arrivals_s, services_s, of = draws(servers, servers)
    left_s = departures(arrivals_s, services_s, ByServer.of(arrivals_s, of))
    for server in range(servers):
        own = np.flatnonzero(of == server)
        own = own[np.argsort(arrivals_s[own], kind="stable")]
        sojourns_s = lindley_sojourns(arrivals_s[own].tolist(), services_s[own].tolist())
        np.testing.assert_allclose(left_s[own] - arrivals_s[own], sojourns_s, atol=1e-9)


def test_nobody_and_a_server_without_customers() -> None:
    nobody = np.empty(0)
    assert len(departures(nobody, nobody, ByServer.of(nobody, np.empty(0, dtype=np.int64)))) == 0
    assert next(iter(ByServer.of(np.array([1.0]), np.array([5])))).tolist() == [0]


@pytest.mark.parametrize(("name", "second"), [("M/M/1", 2.0), ("M/D/1", 1.0)])
def test_mean_times_are_those_of_the_closed_forms(name: str, second: float) -> None:
    rng = np.random.default_rng(1)
    rate, mean_s, count = 14.0, 0.05, 400_000
    arrivals_s = np.cumsum(rng.exponential(1 / rate, count))
    services_s = rng.exponential(mean_s, count) if name == "M/M/1" else np.full(count, mean_s)
    one = np.zeros(count, dtype=np.int64)
    left_s = departures(arrivals_s, services_s, ByServer.of(arrivals_s, one))
    found = batch_means((left_s - arrivals_s).tolist())
    expected_s = mg1_sojourn(rate, mean_s, second * mean_s**2)
    assert found.standard_error < 0.02 * expected_s
    assert abs(found.mean - expected_s) < 4 * found.standard_error


def test_what_a_customer_finds_is_what_came_before_and_has_not_left() -> None:
    arrivals_s, services_s, of = draws(3, 4)
    sizes = np.random.default_rng(4).integers(1, 5, CUSTOMERS)
    queue = ByServer.of(arrivals_s, of)
    left_s = departures(arrivals_s, services_s, queue)
    found = found_there(arrivals_s, left_s, sizes, queue)
    seen = [np.empty(0, dtype=np.int64)] * 4
    for one in np.argsort(arrivals_s, kind="stable").tolist():
        there = [other for other in seen[of[one]] if left_s[other] > arrivals_s[one]]
        assert found[one] == sizes[there].sum()
        seen[of[one]] = np.append(seen[of[one]], one)
    assert found.max() > 5


def test_nobody_overtakes() -> None:
    times_s, of = np.array([1.0, 3.0, 2.0, 9.0, 4.0]), np.array([0, 0, 0, 1, 0])
    queue = ByServer(np.array([0, 1, 2, 4, 3]), np.array([0, 4, 5]))
    assert in_order(times_s, queue).tolist() == [1.0, 3.0, 3.0, 9.0, 4.0]
    assert of.tolist() == [0, 0, 0, 1, 0]


def test_a_connection_is_opened_where_all_are_in_use() -> None:
    rng = np.random.default_rng(5)
    began_s, of = rng.uniform(0, 100, CUSTOMERS), rng.integers(0, 3, CUSTOMERS)
    ended_s = began_s + rng.exponential(2, CUSTOMERS)
    opens = newly_opened(began_s, ended_s, ByServer.of(began_s, of))
    free_at: list[list[float]] = [[], [], []]
    for one in np.argsort(began_s).tolist():
        pool = free_at[of[one]]
        idle = [at for at, free_s in enumerate(pool) if free_s <= began_s[one]]
        assert opens[one] == (not idle)
        if idle:
            pool[idle[-1]] = ended_s[one]
        else:
            pool.append(ended_s[one])
    assert opens.sum() > 6
