"""Laws of money: it adds up over time, over slices and over replicas, whatever the amounts are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from frugal.api.price_book import PriceBook
from frugal.api.status import Size
from frugal.pricing.cost import (
    accrue,
    hours_between,
    month_start,
    next_month,
    rounded,
    saving,
    size_hourly,
)
from frugal.pricing.fraction import MIG_CARDS, MigCard, share
from frugal.pricing.savings import Surroundings, accrue_savings, first_savings

START = datetime(2026, 1, 1, tzinfo=UTC)
SMALLEST = Decimal("0.000001")

money = st.decimals(min_value=0, max_value=10_000, places=6)
seconds = st.integers(min_value=0, max_value=400 * 86_400)
moments = seconds.map(lambda after: START + timedelta(seconds=after))


def book(cpu: Decimal, memory: Decimal) -> PriceBook:
    return PriceBook.model_validate(
        {
            "currency": "USD",
            "source": "a test",
            "retrievedAt": "2026-03-01",
            "entries": [{"cpuPerCoreHour": cpu, "memoryPerGiBHour": memory}],
        }
    )


def layouts(card: MigCard) -> st.SearchStrategy[list[str]]:
    """Any set of profiles whose slices fit on the card: every layout that NVIDIA allows is one of these."""

    def fit(names: list[str]) -> list[str]:
        compute, memory, placed = card.compute, card.memory, []
        for name in names:
            taken = card.profiles[name]
            if taken.compute <= compute and taken.memory <= memory:
                compute, memory = compute - taken.compute, memory - taken.memory
                placed.append(name)
        return placed

    return st.lists(st.sampled_from(sorted(card.profiles)), max_size=12).map(fit)


@given(st.sampled_from(sorted(MIG_CARDS)).flatmap(lambda card: st.tuples(st.just(card), layouts(MIG_CARDS[card]))))
def test_no_legal_layout_is_charged_more_than_its_card(layout: tuple[str, list[str]]) -> None:
    card, profiles = layout

    charged = [share(card, profile) for profile in profiles]

    assert all(one is not None and 0 < one <= 1 for one in charged)
    assert sum(one for one in charged if one is not None) <= 1 + Decimal("1e-20")  # 1/7 is rounded at 28 digits


@given(money, st.lists(moments, min_size=2, max_size=12).map(sorted))
def test_cost_is_the_same_in_one_step_and_in_many(hourly: Decimal, looks: list[datetime]) -> None:
    first = accrue(None, hourly=hourly, now=looks[0], currency="USD")
    whole = accrue(first, hourly=hourly, now=looks[-1], currency="USD")

    stepped = first
    for look in looks[1:]:
        stepped = accrue(stepped, hourly=hourly, now=look, currency="USD")

    assert abs(stepped.month_to_date - whole.month_to_date) <= SMALLEST * len(looks)


@given(money, moments, moments)
def test_a_month_never_costs_more_than_its_hours(hourly: Decimal, one: datetime, other: datetime) -> None:
    first = accrue(None, hourly=hourly, now=min(one, other), currency="USD")
    cost = accrue(first, hourly=hourly, now=max(one, other), currency="USD")

    passed = hours_between(month_start(max(one, other)), max(one, other))
    assert 0 <= cost.month_to_date <= rounded(hourly * passed)
    assert cost.month_to_date <= cost.forecast_month


@given(money, st.integers(min_value=1, max_value=12), st.integers(min_value=1, max_value=86_400))
def test_a_month_boundary_parts_the_cost_exactly(hourly: Decimal, month: int, around: int) -> None:
    boundary = datetime(2026, month, 1, tzinfo=UTC)
    before = accrue(None, hourly=hourly, now=boundary - timedelta(seconds=around), currency="USD")

    at, after = (
        accrue(before, hourly=hourly, now=moment, currency="USD").month_to_date
        for moment in (boundary, boundary + timedelta(seconds=around))
    )

    assert at == 0
    assert after == rounded(hourly * around / 3600)
    assert next_month(boundary - timedelta(seconds=1)) == boundary


@given(money, money, st.lists(moments, min_size=2, max_size=12).map(sorted))
def test_savings_add_up_over_time(reference: Decimal, hourly: Decimal, looks: list[datetime]) -> None:
    size = Size.model_validate({"cpu": "1", "memory": "1Gi"})
    around = Surroundings(requests_per_second=3.0)
    total = first_savings(size, hourly=reference, around=around, now=looks[0])
    for look in looks[1:]:
        total = accrue_savings(total, hourly=hourly, around=around, now=look)

    expected = (reference - hourly) * hours_between(looks[0], looks[-1])
    assert abs(total.since_creation - expected) <= SMALLEST * len(looks)
    assert total.low == total.high == total.since_creation  # the load never changed
    assert total.realized == 0  # no node went


@given(money, st.lists(moments, min_size=2, max_size=12).map(sorted))
def test_the_days_add_up_to_the_month(hourly: Decimal, looks: list[datetime]) -> None:
    cost = accrue(None, hourly=hourly, now=looks[0], currency="USD")
    for look in looks[1:]:
        cost = accrue(cost, hourly=hourly, now=look, currency="USD")

    month = f"{looks[-1]:%Y-%m}"
    days = sum(one.amount for one in cost.days if one.day.startswith(month))
    assert abs(days - cost.month_to_date) <= SMALLEST * (len(looks) + 31)


@given(money, money, st.integers(min_value=1, max_value=500), st.integers(min_value=1, max_value=500))
def test_replicas_cost_the_same_together_as_apart(cpu: Decimal, memory: Decimal, one: int, other: int) -> None:
    def cost(replicas: int) -> Decimal:
        size = Size.model_validate({"cpu": "300m", "memory": "700Mi", "replicas": replicas})
        return size_hourly(book(cpu, memory), size).total

    assert abs(cost(one) + cost(other) - cost(one + other)) <= Decimal("1e-15")


@given(money, money, st.decimals(min_value="0.01", max_value=100, places=2))
def test_scaling_all_prices_changes_no_percent(current: Decimal, recommended: Decimal, factor: Decimal) -> None:
    plain, scaled = saving(current, recommended), saving(current * factor, recommended * factor)

    assert plain.percent == scaled.percent
