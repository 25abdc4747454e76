from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from frugal.metrics.snapshot import FleetSnapshot, InferenceFigures, RecommendedSize
from frugal.metrics.totals import ObjectTotals, Totals

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def size(cpu_cores: float = 1.0, replicas: int = 2) -> RecommendedSize:
    return RecommendedSize(replicas=replicas, cpu_cores=cpu_cores, memory_bytes=2**30)


def figures(**more: Any) -> InferenceFigures:
    return InferenceFigures(namespace="shop", name="fashion", currency="USD", **more)


def advanced(*looks: tuple[float, InferenceFigures]) -> ObjectTotals:
    """The totals of shop/fashion after being seen at these hours after noon."""
    totals, told = Totals(), {}
    for hour, one in looks:
        told = totals.advance(fleet(hour, one))
    return told["shop", "fashion"]


def fleet(hour: float, *inferences: InferenceFigures) -> FleetSnapshot:
    return FleetSnapshot(at=NOON + timedelta(hours=hour), inferences=inferences)


def test_cost_is_the_earlier_rate_times_the_time_between() -> None:
    cheap = figures(hourly={"cpu": Decimal("0.10"), "memory": Decimal("0.02")})
    dear = figures(hourly={"cpu": Decimal("9.00")})

    total = advanced((0, cheap), (2, cheap), (3, dear))

    assert total.cost == {("cpu", "USD"): Decimal("0.30"), ("memory", "USD"): Decimal("0.06")}


def test_a_process_starts_at_nothing() -> None:
    assert advanced((0, figures(hourly={"cpu": Decimal(1)}, slo_met=900, slo_missed=9))).cost == {("cpu", "USD"): 0}


def test_the_same_snapshot_scraped_twice_adds_nothing() -> None:
    one = figures(hourly={"cpu": Decimal(1)}, slo_met=10, slo_missed=0)

    assert advanced((0, one), (1, one)) == advanced((0, one), (1, one), (1, one), (0.5, one))


def test_an_hour_that_cost_more_takes_no_verified_saving_back() -> None:
    total = advanced(
        (0, figures(saved_hourly=Decimal("0.5"))),
        (4, figures(saved_hourly=Decimal("-3"))),
        (5, figures(saved_hourly=Decimal("0.5"))),
    )

    assert total.saved == {"USD": 2}


def test_requests_are_those_since_the_first_look_and_never_fall() -> None:
    total = advanced(
        (0, figures(slo_met=100, slo_missed=5)),
        (1, figures(slo_met=160, slo_missed=7)),
        (2, figures(slo_met=20, slo_missed=0)),  # learnt anew
        (3, figures(slo_met=30, slo_missed=1)),
    )

    assert (total.met, total.missed) == (70, 3)


def test_actions_are_told_by_what_they_did() -> None:
    total = advanced(
        (0, figures(applied=size(), applied_since="a")),
        (1, figures(applied=size(cpu_cores=2.0), applied_since="b")),
        (2, figures(applied=size(cpu_cores=0.5), applied_since="c")),
        (3, figures(applied=size(cpu_cores=0.5, replicas=7), applied_since="d")),
        (4, figures(applied=size(cpu_cores=0.5, replicas=7), applied_since="d")),
    )

    assert total.actions == {"grow": 1, "shrink": 1, "scale": 1}


def test_a_change_that_stays_held_back_is_counted_when_it_begins() -> None:
    held = figures(held_back="CoolingDown")

    total = advanced((0, figures()), (1, held), (2, held), (3, replace(held, held_back="OutsideChangeWindow")))

    assert total.blocked == {"CoolingDown": 1, "OutsideChangeWindow": 1}


def test_what_left_the_fleet_is_forgotten() -> None:
    totals = Totals()
    totals.advance(fleet(0, figures(hourly={"cpu": Decimal(1)})))

    assert totals.advance(fleet(1)) == {}
    assert totals.advance(fleet(2, figures(hourly={"cpu": Decimal(1)})))["shop", "fashion"].cost == {("cpu", "USD"): 0}
