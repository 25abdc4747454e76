from __future__ import annotations

import heapq
import math
import random

import pytest

from frugal.sizing.queueing import (
    Server,
    erlang_b,
    erlang_c,
    late_ratio,
    replicas_for_objective,
    replicas_for_utilization,
    waits_longer_ratio,
)


def server(seconds: float, *, servers: int = 1, occupied_seconds: float | None = None) -> Server:
    return Server(servers=servers, service_seconds=seconds, occupied_seconds=occupied_seconds or seconds)


@pytest.mark.parametrize(
    ("offered_load", "servers", "blocked"),
    [(1.0, 1, 0.5), (1.0, 2, 0.2), (2.0, 2, 0.4), (10.0, 10, 0.2146), (100.0, 117, 0.0098)],
)
def test_blocking_is_what_erlangs_tables_say(offered_load: float, servers: int, blocked: float) -> None:
    assert erlang_b(offered_load, servers) == pytest.approx(blocked, abs=2e-4)


@pytest.mark.parametrize(
    ("offered_load", "servers", "waiting"),
    [(0.5, 1, 0.5), (1.0, 2, 1 / 3), (2.0, 3, 4 / 9), (8.0, 10, 0.4092)],  # M/M/1: C = load; M/M/2: a^2 / (2 + a)
)
def test_waiting_is_what_erlangs_tables_say(offered_load: float, servers: int, waiting: float) -> None:
    assert erlang_c(offered_load, servers) == pytest.approx(waiting, abs=1e-4)


def test_more_load_than_servers_waits_for_ever() -> None:
    assert erlang_c(3.0, 3) == 1.0
    assert waits_longer_ratio(4.0, service_seconds=0.01, servers=4, wait_seconds=60) == 1.0


def test_one_server_waits_as_the_formula_of_m_m_1_says() -> None:
    share = waits_longer_ratio(0.5, service_seconds=0.01, servers=1, wait_seconds=0.02)

    assert share == pytest.approx(0.5 * math.exp(-(100 - 50) * 0.02))  # rho * exp(-(mu - lambda) t)


def test_a_simulated_queue_waits_as_the_formula_says() -> None:
    """Three servers, first come, first served: an arrival is served by the server that is free first."""
    numbers, clock, late, arrivals = random.Random(11), 0.0, 0, 200_000
    free_at = [0.0, 0.0, 0.0]
    for _ in range(arrivals):
        clock += numbers.expovariate(240)
        begins = max(clock, heapq.heappop(free_at))
        heapq.heappush(free_at, begins + numbers.expovariate(100))
        late += begins - clock > 0.01

    expected = waits_longer_ratio(2.4, service_seconds=0.01, servers=3, wait_seconds=0.01)

    assert expected == pytest.approx(0.647 * math.exp(-0.6), abs=0.002)  # C(3, 2.4) = 0.647
    assert late / arrivals == pytest.approx(expected, rel=0.05)


def test_replicas_that_share_a_rate_are_queues_of_their_own() -> None:
    two_queues = late_ratio(100, replicas=2, replica=server(0.01), threshold_seconds=0.05)
    one_queue = late_ratio(100, replicas=1, replica=server(0.01, servers=2), threshold_seconds=0.05)

    assert two_queues == pytest.approx(0.5 * math.exp(-50 * 0.04))
    assert one_queue < two_queues


def test_the_fewest_replicas_hold_the_objective_and_one_less_does_not() -> None:
    replica = server(0.0031)

    count = replicas_for_objective(840, replica=replica, threshold_seconds=0.05, quantile=0.99)

    assert count is not None
    assert late_ratio(840, replicas=count, replica=replica, threshold_seconds=0.05) <= 0.01
    assert late_ratio(840, replicas=count - 1, replica=replica, threshold_seconds=0.05) > 0.01


def test_no_replicas_help_when_one_request_computes_too_long() -> None:
    count = replicas_for_objective(10, replica=server(0.06), threshold_seconds=0.05, quantile=0.99)

    assert count is None


def test_without_an_objective_replicas_are_busy_at_most_seventy_percent() -> None:
    assert replicas_for_utilization(140, replica=server(0.01)) == 2  # 1.4 / 0.7
    assert replicas_for_utilization(141, replica=server(0.01)) == 3
    assert replicas_for_utilization(0, replica=server(0.01)) == 1


def test_what_surrounds_the_computing_takes_the_server_too() -> None:
    busy = server(0.002, occupied_seconds=0.006)

    assert replicas_for_utilization(700, replica=busy) == 6  # 700 * 0.006 / 0.7
    assert late_ratio(170, replicas=1, replica=busy, threshold_seconds=0.05) == 1.0  # 1.02 of a server
