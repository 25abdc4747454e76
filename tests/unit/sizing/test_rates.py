from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from frugal.sizing.rates import Rates

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def rates(*per_minute: float, start: datetime = NOON) -> Rates:
    """One sample a minute, at the rates given in requests per second."""
    made = Rates.empty()
    for minute, rate in enumerate(per_minute, start=1):
        made = made.add(rate * 60, seconds=60, at=start + timedelta(minutes=minute))
    return made


def test_the_parts_of_a_minute_are_one_minute() -> None:
    made = Rates.empty()
    for part, requests in enumerate((150, 300, 0, 150), start=1):
        made = made.add(requests, seconds=15, at=NOON + timedelta(seconds=15 * part))

    assert made.minutes == 0  # it is not over
    assert made.last() == pytest.approx(10.0)  # 600 / 60


def test_a_jump_counts_at_once() -> None:
    made = rates(*[10.0] * 500, 80.0)

    assert made.peak(0.99) == pytest.approx(80.0)


def test_a_burst_is_held_for_an_hour_and_then_forgotten_by_the_peak() -> None:
    held = rates(*[10.0] * 600, 80.0, *[10.0] * 60)
    later = rates(*[10.0] * 600, 80.0, *[10.0] * 62)

    assert held.peak(0.99) == pytest.approx(80.0)
    assert 10.0 <= later.peak(0.99) <= 10.6


def test_a_minute_without_requests_is_a_minute() -> None:
    made = rates(*[10.0] * 10, *[0.0] * 100)

    assert made.minutes == 109
    assert made.usual(0.5) == 0.0


def test_a_minute_that_was_not_measured_is_not_counted() -> None:
    made = rates(10.0, 10.0).add(600, seconds=60, at=NOON + timedelta(hours=3))

    assert made.minutes == 2


def test_an_interval_from_before_the_open_minute_is_dropped() -> None:
    made = rates(10.0, 10.0, 10.0)

    assert made.add(10_000, seconds=60, at=NOON + timedelta(minutes=1)) == made


def test_saved_rates_load_again() -> None:
    made = rates(1.0, 2.5, 8.0, 8.0)

    loaded = Rates.from_json(made.to_json())

    assert (loaded.minutes, loaded.recent, loaded.peak(0.99)) == (made.minutes, made.recent, made.peak(0.99))
    assert Rates.from_json({}) == Rates.empty()
