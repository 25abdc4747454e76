from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from frugal.api.conditions import Reason
from frugal.api.status import Size
from frugal.sizing.stability import ProposedChange, change_window_open, hold, urgent_part
from frugal.units import Quantity

MONDAY_NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def size(cpu: str = "1", memory: str = "1Gi", replicas: int = 2, **more: Any) -> Size:
    return Size(cpu=Quantity(cpu), memory=Quantity(memory), memory_limit=Quantity("2Gi"), replicas=replicas, **more)


def change(proposed: Size, **more: Any) -> ProposedChange:
    return ProposedChange(now=more.pop("now", MONDAY_NOON), applied=size(), proposed=proposed, **more)


def reason(proposed: Size, **more: Any) -> Reason | None:
    objection = hold(change(proposed, **more))
    return objection.reason if objection else None


CLOSED: dict[str, Any] = {"last_change": MONDAY_NOON, "change_windows": ("Sun 02:00-03:00 UTC",)}


def test_a_saving_that_is_worth_a_restart_goes() -> None:
    assert reason(size(cpu="500m"), kept_hourly=Decimal("0.10"), proposed_hourly=Decimal("0.06")) is None


@pytest.mark.parametrize(
    "proposed", [size(replicas=1), size(replicas=9), size(cpu="2"), size(memory="3Gi"), size(cpu="2", replicas=1)]
)
def test_replicas_and_growth_are_never_held_back(proposed: Size) -> None:
    assert reason(proposed, **CLOSED) is None


def test_what_saves_waits_and_what_grows_goes_alone() -> None:
    proposed = size(cpu="500m", memory="3Gi", replicas=4)

    assert reason(proposed, **CLOSED) is Reason.COOLING_DOWN
    assert urgent_part(size(), proposed) == size(cpu="1", memory="3Gi", replicas=4)


def test_a_limit_that_grows_beside_a_smaller_request_waits_with_it() -> None:
    proposed = size(memory="700Mi").model_copy(update={"memory_limit": Quantity("3Gi")})

    assert reason(proposed, **CLOSED) is Reason.COOLING_DOWN
    assert urgent_part(size(), proposed) == size()


def test_another_accelerator_waits() -> None:
    assert reason(size(accelerator="nvidia.com/gpu", count=1), **CLOSED) is Reason.COOLING_DOWN


def test_less_than_a_tenth_is_noise() -> None:
    assert reason(size(cpu="910m")) is Reason.WITHIN_DEAD_BAND
    assert reason(size(cpu="900m")) is None


def test_a_small_change_of_one_request_rides_along_with_a_large_one_of_the_other() -> None:
    assert reason(size(cpu="950m", memory="512Mi")) is None


def test_a_saving_below_the_asked_percent_is_not_worth_a_restart() -> None:
    objection = hold(change(size(cpu="500m"), kept_hourly=Decimal("1.00"), proposed_hourly=Decimal("0.96")))

    assert objection is not None
    assert objection.reason is Reason.WITHIN_DEAD_BAND
    assert objection.message == "the change would save 4.0 %, less than minSaving 5 %"


def test_without_a_price_the_saving_is_not_judged() -> None:
    assert reason(size(cpu="500m")) is None


def test_the_cooldown_ends_to_the_second() -> None:
    last = MONDAY_NOON - timedelta(minutes=30)

    assert reason(size(cpu="500m"), last_change=last + timedelta(seconds=1)) is Reason.COOLING_DOWN
    assert reason(size(cpu="500m"), last_change=last) is None


def test_outside_of_every_window_a_saving_waits() -> None:
    windows = ("Sat-Sun 00:00-23:59 UTC", "Mon 02:00-05:00 UTC")

    assert reason(size(cpu="500m"), change_windows=windows) is Reason.OUTSIDE_CHANGE_WINDOW
    assert reason(size(cpu="500m"), change_windows=windows, now=MONDAY_NOON.replace(hour=3)) is None


def test_no_window_is_always_open() -> None:
    assert change_window_open((), MONDAY_NOON)


@pytest.mark.parametrize(
    ("window", "moment", "is_open"),
    [
        ("Mon 12:00-13:00 UTC", "2026-03-02T12:00:00Z", True),
        ("Mon 12:00-13:00 UTC", "2026-03-02T12:59:59Z", True),
        ("Mon 12:00-13:00 UTC", "2026-03-02T13:00:00Z", False),
        ("Tue-Fri 12:00-13:00 UTC", "2026-03-02T12:30:00Z", False),
        ("Fri-Mon 12:00-13:00 UTC", "2026-03-01T12:30:00Z", True),
        ("Fri-Mon 12:00-13:00 UTC", "2026-03-03T12:30:00Z", False),
        ("Mon 23:00-02:00 UTC", "2026-03-03T01:59:00Z", True),  # it began on Monday
        ("Mon 23:00-02:00 UTC", "2026-03-02T01:59:00Z", False),  # that one would have begun on Sunday
        ("Mon 02:00-05:00 America/New_York", "2026-03-02T08:00:00Z", True),  # 03:00 there
        ("Mon 02:00-05:00 America/New_York", "2026-03-02T03:00:00Z", False),
        ("Mon 09:00-10:00 Asia/Kolkata", "2026-03-02T03:30:00Z", True),  # +05:30
    ],
)
def test_windows_are_wall_time_in_their_zone(window: str, moment: str, is_open: bool) -> None:
    assert change_window_open((window,), datetime.fromisoformat(moment)) is is_open


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-03-29T00:30:00Z", False),  # 01:30 CET
        ("2026-03-29T01:15:00Z", False),  # 03:15 CEST: 02:15 does not exist that day
        ("2026-10-25T00:15:00Z", True),  # 02:15 CEST
        ("2026-10-25T01:15:00Z", True),  # 02:15 CET, the repeated hour
        ("2026-10-25T02:15:00Z", False),  # 03:15 CET
    ],
)
def test_windows_follow_the_clock_changes(moment: str, is_open: bool) -> None:
    assert change_window_open(("Sun 02:00-03:00 Europe/Berlin",), datetime.fromisoformat(moment)) is is_open
