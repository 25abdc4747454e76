"""Laws of sharing a node: its parts add up to its price exactly, none is negative, and cost follows use."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from frugal.pricing.allocation import Claim, SharingRule, Supply, allocate, divide
from frugal.pricing.sharing import parted_activity

amounts = st.decimals(min_value=0, max_value=500, places=3)
prices = st.decimals(min_value=0, max_value=200, places=6)
rules = st.sampled_from(list(SharingRule))
names = st.sampled_from(["a", "b", "c"])


@st.composite
def claims(draw: st.DrawFn) -> list[Claim]:
    drawn = draw(st.lists(st.tuples(names, amounts, st.none() | amounts, st.booleans()), max_size=8))
    return [
        Claim(
            workload=f"{namespace}/{number}",
            namespace=namespace,
            requested={"cpu": requested},
            used={} if used is None else {"cpu": used},
            is_overhead=is_overhead,
        )
        for number, (namespace, requested, used, is_overhead) in enumerate(drawn)
    ]


@given(amounts, prices, claims(), rules)
def test_the_parts_are_the_price_and_none_is_negative(
    capacity: Decimal, price: Decimal, held: list[Claim], rule: SharingRule
) -> None:
    shared = allocate([Supply(name="cpu", capacity=capacity, hourly=price)], held, rule=rule)

    parts = [part for one in shared.charges for part in (one.used, one.reserved, one.idle, one.shared)]
    unborne = [*shared.idle.values(), *shared.shared.values()]
    assert shared.total == price
    assert all(part >= 0 for part in [*parts, *unborne])


@given(amounts, prices, claims(), rules)
def test_a_rule_moves_money_and_makes_none(
    capacity: Decimal, price: Decimal, held: list[Claim], rule: SharingRule
) -> None:
    supply = [Supply(name="cpu", capacity=capacity, hourly=price)]

    apart, spread = allocate(supply, held), allocate(supply, held, rule=rule)

    assert [one.own for one in apart.charges] == [one.own for one in spread.charges]


@given(prices, st.lists(amounts, min_size=1, max_size=20))
def test_a_division_gives_everything_away(price: Decimal, weights: list[Decimal]) -> None:
    parts = divide(price, weights)

    total = sum(weights)
    assert sum(parts) == (price if total else 0)
    assert all(
        abs(part - price * weight / total) <= Decimal("0.000001")
        for part, weight in zip(parts, weights, strict=True)
        if total
    )


@given(
    st.decimals(min_value=0, max_value=2, places=4),
    st.dictionaries(
        st.text("abcdef", min_size=1, max_size=4),
        st.none() | st.decimals(min_value=0, max_value=1, places=4),
        min_size=1,
    ),
)
def test_pods_of_a_card_are_never_busier_than_the_card(card: Decimal, measured: dict[str, Decimal | None]) -> None:
    parts = parted_activity(card, measured)

    busy = min(Decimal(1), card)
    assert set(parts) == set(measured)
    assert all(part >= 0 for part in parts.values())
    assert sum(parts.values()) <= busy + Decimal("1e-20")
    if None in measured.values() or any(measured.values()):
        assert abs(sum(parts.values()) - busy) <= Decimal("1e-20")
