"""The queue's tail against its exact recursion, between integers and at the edges."""

from __future__ import annotations

import numpy as np
import pytest

from frugal.sizing import queueing
from frugal.sizing.waiting import erlang_b, largest_load, late_share


@pytest.mark.parametrize("servers", [1, 2, 5, 32, 100, 800])
@pytest.mark.parametrize("utilization", [0.3, 0.6, 0.9, 1.2])
def test_the_integral_equals_the_recursion(servers: int, utilization: float) -> None:
    load = servers * utilization

    blocked = float(erlang_b(np.array(load), np.array(float(servers))))

    assert blocked == pytest.approx(queueing.erlang_b(load, servers), rel=1e-4, abs=1e-15)


def test_a_real_capacity_lies_between_its_neighbours() -> None:
    load = np.array(3.0)

    low, middle, high = erlang_b(load, np.array([4.0, 4.5, 5.0]))

    assert low > middle > high


def test_the_largest_load_spends_the_tail_exactly() -> None:
    capacity = np.array([8.0, 64.0])

    load = largest_load(capacity, wait_budget_seconds=1, service_seconds=2, late_ratio=0.001)

    share = late_share(load, capacity, wait_budget_seconds=1, service_seconds=2)
    assert share == pytest.approx([0.001, 0.001], rel=1e-3)


def test_every_request_is_late_at_full_load_and_none_without_load() -> None:
    shares = late_share(np.array([0.0, 4.0, 9.0]), np.array(4.0), wait_budget_seconds=1, service_seconds=1)

    assert shares.tolist() == [0.0, 1.0, 1.0]
