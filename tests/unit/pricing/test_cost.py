from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from frugal.api.price_book import PriceBook
from frugal.api.result import Usage
from frugal.api.status import Size
from frugal.errors import PriceUnknown
from frugal.pricing.cost import accrue, job_cost, rounded, saving, size_hourly, spent_since
from frugal.units import Quantity

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
MONTH_END = datetime(2026, 4, 1, tzinfo=UTC)
BOOK = PriceBook.model_validate(
    {
        "currency": "USD",
        "source": "a test",
        "retrievedAt": "2026-03-01",
        "entries": [{"cpuPerCoreHour": "0.04", "memoryPerGiBHour": "0.005", "gpuPerHour": {"nvidia.com/gpu": "2"}}],
    }
)


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


def size(cpu: str = "500m", replicas: int = 3, **more: object) -> Size:
    return Size.model_validate({"cpu": cpu, "memory": "2Gi", "replicas": replicas, **more})


def test_a_size_costs_all_its_replicas() -> None:
    cost = size_hourly(BOOK, size())

    assert (cost.cpu, cost.memory, cost.gpu) == (
        Decimal("0.06"),
        Decimal("0.03"),
        Decimal(0),
    )  # 3 * 0.5 * 0.04, 3 * 2 * 0.005
    assert size_hourly(BOOK, size(accelerator="nvidia.com/gpu", count=1)).gpu == 6


def test_an_accelerator_without_a_price_makes_the_cost_unknown() -> None:
    with pytest.raises(PriceUnknown):
        size_hourly(BOOK, size(accelerator="amd.com/gpu", count=1))


def test_the_first_look_has_cost_nothing_yet_and_a_forecast() -> None:
    cost = accrue(None, hourly=Decimal("0.10"), now=MONTH_END - hours(10), currency="USD")

    assert (cost.month_to_date, cost.forecast_month) == (Decimal(0), Decimal(1))  # 10 hours left * 0.10


def test_what_ran_since_the_last_look_costs_its_own_rate() -> None:
    first = accrue(None, hourly=Decimal("0.10"), now=NOON, currency="USD")

    second = accrue(first, hourly=Decimal("0.40"), now=NOON + hours(3), currency="USD")

    assert second.month_to_date == Decimal("0.30")
    assert second.hourly == Decimal("0.40")


def test_a_new_month_starts_at_its_first_second() -> None:
    before = accrue(None, hourly=Decimal(6), now=MONTH_END - hours(5), currency="USD")

    at_the_end = accrue(before, hourly=Decimal(6), now=MONTH_END - timedelta(seconds=1), currency="USD")
    after = accrue(at_the_end, hourly=Decimal(6), now=MONTH_END + hours(2), currency="USD")

    assert at_the_end.month_to_date == rounded(Decimal(6) * (5 * 3600 - 1) / 3600)
    assert after.month_to_date == 12  # only the two hours since
    assert accrue(at_the_end, hourly=Decimal(6), now=MONTH_END, currency="USD").month_to_date == 0


def test_a_month_is_the_month_of_utc() -> None:
    in_tokyo = datetime.fromisoformat("2026-04-01T05:00:00+09:00")  # March 31, 20:00 UTC
    before = accrue(None, hourly=Decimal(1), now=NOON, currency="USD")

    cost = accrue(before, hourly=Decimal(1), now=in_tokyo, currency="USD")

    assert cost.month_to_date == (in_tokyo - NOON) // hours(1)
    assert cost.forecast_month == cost.month_to_date + 4


def test_whole_months_without_a_look_count_only_this_month() -> None:
    before = accrue(None, hourly=Decimal(1), now=datetime(2025, 11, 3, tzinfo=UTC), currency="USD")

    assert accrue(before, hourly=Decimal(1), now=NOON, currency="USD").month_to_date == 9 * 24 + 12


def test_a_clock_that_went_back_costs_nothing() -> None:
    first = accrue(None, hourly=Decimal(1), now=NOON, currency="USD")

    back = accrue(first, hourly=Decimal(1), now=NOON - hours(1), currency="USD")
    again = accrue(back, hourly=Decimal(1), now=NOON + hours(1), currency="USD")

    assert (back.month_to_date, again.month_to_date) == (Decimal(0), Decimal(1))


def test_another_currency_starts_anew() -> None:
    first = accrue(None, hourly=Decimal(1), now=NOON, currency="USD")

    assert accrue(first, hourly=Decimal(1), now=NOON + hours(5), currency="EUR").month_to_date == 0


def test_a_day_gets_what_it_cost_and_no_more() -> None:
    first = accrue(None, hourly=Decimal("0.50"), now=NOON, currency="USD")

    second = accrue(first, hourly=Decimal("0.20"), now=NOON + hours(18), currency="USD")

    assert {one.day: one.amount for one in second.days} == {"2026-03-10": Decimal(6), "2026-03-11": Decimal(3)}
    assert sum(one.amount for one in second.days) == second.month_to_date == 9


def test_only_the_newest_days_are_kept() -> None:
    first = accrue(None, hourly=Decimal(1), now=NOON, currency="USD")

    later = accrue(first, hourly=Decimal(1), now=NOON + hours(24 * 90), currency="USD")

    assert len(later.days) == 35
    assert later.days[-1].day == "2026-06-08"
    assert {one.amount for one in later.days[1:-1]} == {24}


def test_what_was_spent_since_a_moment_is_a_part_of_the_days() -> None:
    first = accrue(None, hourly=Decimal(1), now=NOON, currency="USD")
    cost = accrue(first, hourly=Decimal(2), now=NOON + hours(36), currency="USD")

    assert spent_since(cost, since=NOON - hours(100), now=NOON + hours(36)) == 36
    assert spent_since(cost, since=NOON + hours(24), now=NOON + hours(36)) == 12
    assert spent_since(cost, since=NOON + hours(24), now=NOON + hours(37)) == pytest.approx(14)  # an hour at 2 more


def test_the_parts_of_an_hour_add_up_to_it() -> None:
    third = Decimal(1) / 3

    cost = accrue(
        None, hourly=third * 3, by_resource={"cpu": third, "memory": third, "gpu": third}, now=NOON, currency="USD"
    )

    assert sum(cost.hourly_by_resource.values()) == cost.hourly
    assert set(cost.hourly_by_resource) == {"cpu", "memory", "gpu"}


def test_a_saving_is_told_a_month_and_in_percent() -> None:
    told = saving(Decimal("0.55"), Decimal("0.20"))

    assert (told.monthly, told.percent) == (Decimal("255.50"), 63.6)  # 0.35 * 730
    assert saving(Decimal(0), Decimal("0.20")).percent == 0


def test_a_job_costs_what_it_requested_or_used_whichever_is_more() -> None:
    requests = {"cpu": Quantity("2"), "memory": Quantity("1Gi")}
    idle = Usage(wall_seconds=3600, cpu_seconds=60, peak_memory_bytes=2**20)
    busy = Usage(wall_seconds=3600, cpu_seconds=4 * 3600, peak_memory_bytes=2**31)

    costs = [job_cost(usage, requests=requests, wall_seconds=3600, book=BOOK).amount for usage in (idle, busy)]

    assert costs == [Decimal("0.085"), Decimal("0.17")]  # 2 * 0.04 + 0.005, 4 * 0.04 + 2 * 0.005


def test_a_job_without_prices_still_tells_what_it_used() -> None:
    usage = Usage(wall_seconds=60, cpu_seconds=90)
    requests = {"cpu": Quantity("1"), "nvidia.com/gpu": Quantity("2")}

    cost = job_cost(usage, requests=requests, wall_seconds=60, book=None)

    assert (cost.amount, cost.cpu_seconds, cost.gpu_seconds) == (None, 90, 120)


def test_a_job_on_an_unpriced_card_has_no_amount() -> None:
    cost = job_cost(Usage(), requests={"amd.com/gpu": Quantity("1")}, wall_seconds=60, book=BOOK)

    assert cost.amount is None


def test_money_keeps_six_places_and_no_trailing_zeros() -> None:
    assert [str(rounded(Decimal(text))) for text in ("1", "0.1234567", "2.500000", "100", "0.000001")] == [
        "1.00",
        "0.123457",
        "2.50",
        "100.00",
        "0.000001",
    ]
