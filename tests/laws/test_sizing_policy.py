"""Laws of the choice of flavor and count, and of the policy as a whole."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from frugal.sizing.demand import generate_demand
from frugal.sizing.ladder import Rung, Service, build_ladder
from frugal.sizing.minute import Minute
from frugal.sizing.policy import SizingPolicy
from tests.unit.sizing.services import SLICES, service

LOADS = st.floats(0.0, 60.0)
PRICES = st.tuples(*[st.floats(0.05, 20.0) for _ in SLICES])


def chosen(one: Service, load: float) -> Rung:
    ladder = build_ladder(one, up_to_load=60.0)
    return ladder.rung(int(ladder.rungs_for(np.array(load))))


def played(policy: SizingPolicy, loads: list[float], start: int = 0) -> list[Rung]:
    return [policy.decide(Minute(t=start + t, requests=60 * load, load=load)) for t, load in enumerate(loads)]


def trace(seed: int, minutes: int) -> list[float]:
    return list(generate_demand(seed, minutes, 20.0))


@settings(max_examples=25, deadline=None)
@given(load=LOADS, more=LOADS, prices=PRICES)
def test_more_load_never_costs_less_nor_carries_less(load: float, more: float, prices: tuple[float, ...]) -> None:
    ladder = build_ladder(service(prices=prices), up_to_load=60.0)

    low, high = ladder.rungs_for(np.sort(np.array([load, more])))

    assert ladder.prices[low] <= ladder.prices[high] * (1 + 1e-9)
    assert ladder.loads[low] <= ladder.loads[high]


@settings(max_examples=25, deadline=None)
@given(load=LOADS, prices=PRICES)
def test_the_cheapest_choice_carries_the_load_in_memory_that_fits(load: float, prices: tuple[float, ...]) -> None:
    one = service(prices=prices)

    rung = chosen(one, load)

    ladder = build_ladder(one, up_to_load=60.0)
    cost = rung.replicas * prices[rung.flavor]
    others = [(ladder.fewest(flavor, load), prices[flavor]) for flavor in range(len(SLICES))]
    assert one.fits(one.flavors[rung.flavor])
    assert ladder.carried(rung) >= load * (1 - 1e-9)
    assert all(count is None or cost <= count * price * (1 + 1e-6) for count, price in others)


@settings(max_examples=25, deadline=None)
@given(load=LOADS, prices=PRICES, exponent=st.integers(-10, 10))
def test_scaling_all_prices_changes_no_choice(load: float, prices: tuple[float, ...], exponent: int) -> None:
    scaled = tuple(price * 2.0**exponent for price in prices)

    assert chosen(service(prices=scaled), load) == chosen(service(prices=prices), load)


@settings(max_examples=25, deadline=None)
@given(load=LOADS, prices=PRICES, dearer=st.floats(1.01, 5.0), flavor=st.integers(0, 3))
def test_a_higher_price_never_makes_a_kind_chosen(
    load: float, prices: tuple[float, ...], dearer: float, flavor: int
) -> None:
    raised = tuple(price * (dearer if index == flavor else 1) for index, price in enumerate(prices))

    before, after = chosen(service(prices=prices), load), chosen(service(prices=raised), load)

    assert after.flavor != flavor or before.flavor == flavor


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 1000), minutes=st.integers(1, 200))
def test_a_saved_policy_goes_on_as_if_never_saved(seed: int, minutes: int) -> None:
    loads = trace(seed, minutes + 60)
    policy = SizingPolicy(service())
    played(policy, loads[:minutes])

    loaded = SizingPolicy.from_json(json.loads(json.dumps(policy.to_json())), service())

    assert played(loaded, loads[minutes:], minutes) == played(policy, loads[minutes:], minutes)
    assert loaded.to_json() == policy.to_json()


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 1000))
def test_the_same_history_gives_the_same_answers(seed: int) -> None:
    loads = trace(seed, 150)

    assert played(SizingPolicy(service()), loads) == played(SizingPolicy(service()), loads)


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 1000), more=st.floats(1.0, 10.0))
def test_a_higher_last_minute_never_means_less_capacity(seed: int, more: float) -> None:
    loads = trace(seed, 100)
    one = service()

    before = played(SizingPolicy(one), loads)[-1]
    after = played(SizingPolicy(one), [*loads[:-1], loads[-1] * more])[-1]

    capacity = [rung.replicas * one.flavors[rung.flavor].sequences for rung in (before, after)]
    assert capacity[1] >= capacity[0]


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 1000))
def test_scaling_all_prices_changes_no_answer(seed: int) -> None:
    one = service()
    dear = replace(one, flavors=tuple(replace(f, price_per_hour=f.price_per_hour * 8) for f in one.flavors))
    loads = trace(seed, 200)

    assert played(SizingPolicy(one), loads) == played(SizingPolicy(dear), loads)
