"""The simulator's billing, start-up, change of flavor and backlog, minute by minute, with the arithmetic shown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from frugal.sizing.ladder import Rung
from frugal.sizing.minute import Minute
from frugal.sizing.oracle import least_cost
from frugal.sizing.simulation import Outcome, late_in_minute, simulate
from tests.unit.sizing.services import service

CARD = service(sequences_per_slot=1.0, model_memory_gib=70.0)  # only whole cards fit: 7 sequences, price 1


class Script:
    """Orders what the script says, minute by minute, and keeps what it was shown."""

    def __init__(self, rungs: Sequence[Rung]) -> None:
        self.rungs = rungs
        self.seen: list[Minute] = []

    def decide(self, minute: Minute) -> Rung:
        self.seen.append(minute)
        return self.rungs[minute.t]


def cards(count: int) -> Rung:
    return Rung(flavor=3, replicas=count)


def outcome(rungs: Sequence[Rung], loads: Sequence[float], start: Rung) -> Outcome:
    arrivals = np.full(len(loads), 60.0)
    return simulate(Script(rungs), CARD, loads=np.array(loads), requests=arrivals, start=start, count_from=0)


def test_an_ordered_replica_serves_after_two_minutes_and_is_billed_from_its_order() -> None:
    rungs = [cards(2)] * 5

    result = outcome(rungs, [1.0] * 5, cards(1))

    assert result.capacities.tolist() == [7, 7, 7, 14, 14]  # ordered after minute 0: minutes 1 and 2 start it
    assert result.cost * 60 == pytest.approx(1 + 2 * 4)


def test_a_removed_replica_is_billed_a_minute_more() -> None:
    rungs = [cards(1)] * 4

    result = outcome(rungs, [1.0] * 4, cards(2))

    assert result.capacities.tolist() == [14, 7, 7, 7]
    assert result.cost * 60 == pytest.approx(2 + 1 + 3 * 1)


def test_old_replicas_serve_until_those_of_the_new_flavor_do() -> None:
    small = service(sequences_per_slot=1.0, model_memory_gib=18.0)
    rungs = [Rung(flavor=1, replicas=2)] * 5

    result = simulate(
        Script(rungs), small, loads=np.full(5, 0.5), requests=np.full(5, 30.0), start=cards(1), count_from=0
    )

    assert result.capacities.tolist() == [7, 7, 7, 4, 4]
    both = 1 + 2 * 2 / 7  # while the new ones start
    assert result.cost * 60 == pytest.approx(1 + 2 * both + (2 * 2 / 7 + 1) + 2 * 2 / 7)
    assert result.changes_per_day == 1 / 5 * 1_440


def test_what_was_not_served_waits_and_makes_the_next_minutes_late() -> None:
    rungs = [cards(1)] * 3

    result = outcome(rungs, [8.0, 3.0, 3.0], cards(1))

    # (8 - 7) x 60 = 60 request-seconds wait; T = 0.5 s x 7 = 3.5 of them may; (7 - 3) a second leave: 56.5 / 240
    assert result.late_ratio * 3 == pytest.approx(1 + 56.5 / 240, abs=0.02)


def test_a_minute_without_load_is_never_late() -> None:
    assert late_in_minute(CARD, load=0.0, capacity=0.0, backlog_seconds=0.0) == 0.0


def test_the_oracle_keeps_a_replica_through_a_gap_that_starting_again_would_cost_more() -> None:
    loads = np.array([10.0, 1.0, 1.0, 1.0, 10.0, 10.0])

    cost = least_cost(CARD, loads, count_from=0)

    needed = 3  # 10 of 21 sequences within half a second; 14 would be too late for more than 1 in 1,000
    assert cost * 60 == pytest.approx(needed * 6)


def test_no_policy_that_keeps_the_objective_is_cheaper_than_the_oracle() -> None:
    loads = np.array([1.0, 20.0, 20.0, 1.0, 1.0, 1.0, 1.0, 1.0, 9.0, 1.0] * 4)

    peak = outcome([cards(6)] * len(loads), loads.tolist(), cards(6))

    assert peak.late_ratio <= 0.001
    assert least_cost(CARD, loads, count_from=0) < peak.cost
