"""What holds whatever the kinds, prices and loads are: money alone changes no order, and more load needs no less."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from frugal.sizing.accelerators import Kind
from frugal.sizing.recommendation import Recommendation
from tests.unit.sizing.test_choice import A100, SLICE, T4, asked, served

PRICE = st.decimals(min_value="0.05", max_value="20", places=2)
PRICES = st.fixed_dictionaries({kind.key: PRICE for kind in (A100, SLICE, T4)})
LOADS = st.sampled_from([0.5, 2.0, 8.0, 20.0])
EXAMPLES = settings(max_examples=60, deadline=None)


def chosen(answer: Recommendation) -> tuple[str, str]:
    return answer.target.accelerator, answer.target.product


def is_on(answer: Recommendation, kind: Kind) -> bool:
    return chosen(answer) == (kind.accelerator, kind.product)


@EXAMPLES
@given(PRICES, LOADS, st.sampled_from([A100, SLICE, T4]), st.decimals(min_value="1.01", max_value="10", places=2))
def test_a_kind_that_gets_dearer_is_not_chosen_more(
    prices: dict[str, Decimal], rate: float, kind: Kind, factor: Decimal
) -> None:
    before = asked(served(rate=rate), prices=prices)

    after = asked(served(rate=rate), prices=prices | {kind.key: prices[kind.key] * factor})

    assert is_on(before, kind) or not is_on(after, kind)


@EXAMPLES
@given(PRICES, LOADS, st.sampled_from([Decimal("0.01"), Decimal(3), Decimal(1000)]))
def test_scaling_all_prices_changes_no_choice(prices: dict[str, Decimal], rate: float, factor: Decimal) -> None:
    before = asked(served(rate=rate), prices=prices, per_core=Decimal(0))

    after = asked(served(rate=rate), prices={key: one * factor for key, one in prices.items()}, per_core=Decimal(0))

    assert after.target == before.target
    assert [one.size for one in after.alternatives] == [one.size for one in before.alternatives]


@EXAMPLES
@given(PRICES, LOADS, st.integers(1, 60))
def test_a_kind_without_room_for_the_measured_peak_is_never_moved_to(
    prices: dict[str, Decimal], rate: float, gpu_gib: int
) -> None:
    answer = asked(served(rate=rate, gpu_gib=gpu_gib), prices=prices)

    room = {(kind.accelerator, kind.product): kind.memory_bytes or 0 for kind in (A100, SLICE, T4)}
    assert is_on(answer, A100) or room[chosen(answer)] * 0.9 >= gpu_gib * 2**30


@EXAMPLES
@given(PRICES, LOADS, LOADS)
def test_more_load_never_needs_fewer_replicas_of_a_kind(prices: dict[str, Decimal], one: float, other: float) -> None:
    low, high = sorted((one, other))

    fewer, more = (asked(served(rate=rate), prices=prices, kinds=()) for rate in (low, high))

    assert fewer.target.replicas <= more.target.replicas


@EXAMPLES
@given(PRICES, LOADS)
def test_the_same_history_gives_the_same_answer(prices: dict[str, Decimal], rate: float) -> None:
    state = served(rate=rate)
    saved = type(state).from_json(state.to_json())

    assert asked(state, prices=prices) == asked(state, prices=prices)
    assert chosen(asked(saved, prices=prices)) == chosen(asked(state, prices=prices))
