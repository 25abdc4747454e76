"""Laws of right-sizing: what must hold for every history, not only for those that somebody thought of."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frugal.api.inference_deployment import LatencyObjective
from frugal.api.status import Size
from frugal.sizing.demand import history_from_demand
from frugal.sizing.histogram import CPU_CORES, Histogram
from frugal.sizing.queueing import MAX_REPLICAS, Server, late_ratio, replicas_for_objective, waits_longer_ratio
from frugal.sizing.recommendation import Recommendation, SizingRequest, recommend
from frugal.sizing.stability import ProposedChange, hold, urgent_part
from frugal.sizing.state import WorkloadState
from frugal.units import MIB, Duration, Quantity

NOW = datetime(2026, 3, 16, 12, tzinfo=UTC)

cores = st.floats(min_value=0, max_value=500)
moments = st.floats(min_value=0, max_value=40 * 86_400).map(lambda seconds: NOW - timedelta(seconds=seconds))
samples = st.lists(st.tuples(cores, moments), min_size=1, max_size=30)
quantiles = st.floats(min_value=0.01, max_value=1)
rates = st.lists(st.floats(min_value=0, max_value=300), min_size=3, max_size=60)
objectives = st.sampled_from([0.5, 0.9, 0.95, 0.99])


def histogram(values: list[tuple[float, datetime]]) -> Histogram:
    made = Histogram.empty(CPU_CORES)
    for value, at in values:
        made = made.add(value, at=at)
    return made


def size(cpu: str = "1", replicas: int = 3) -> Size:
    return Size(cpu=Quantity(cpu), memory=Quantity("1Gi"), memory_limit=Quantity("2Gi"), replicas=replicas)


def history(load: list[float], *, service_seconds: float = 0.004) -> WorkloadState:
    return history_from_demand(
        load,
        service_seconds=service_seconds,
        cores_per_request_second=0.004,
        memory_bytes=180 * MIB,
        now=NOW,
        replicas=3,
    )


def advice(state: WorkloadState, *, quantile: float = 0.99, servers: int | None = 1) -> Recommendation:
    objective = LatencyObjective(threshold=Duration("50ms"), quantile=quantile)
    request = SizingRequest(
        applied=size(), slo=objective, max_replicas=1_000, servers_per_replica=servers, min_shrink_samples=1
    )
    answer = recommend(state, request, now=NOW)
    assert isinstance(answer, Recommendation)
    return answer


@given(samples, quantiles, quantiles)
def test_a_percentile_never_falls_as_the_quantile_rises(
    values: list[tuple[float, datetime]], one: float, other: float
) -> None:
    made = histogram(values)

    assert made.percentile(min(one, other)) <= made.percentile(max(one, other))


@given(samples)
def test_a_percentile_is_within_a_bucket_of_what_was_added(values: list[tuple[float, datetime]]) -> None:
    made, at = Histogram.empty(CPU_CORES), NOW
    for value, _ in values:
        made = made.add(value, at=at)

    lowest, highest = min(value for value, _ in values), max(value for value, _ in values)
    assert lowest <= made.percentile(0.0) * (1 + 1e-9)
    assert highest <= made.percentile(1.0) * (1 + 1e-9) <= highest * 1.0501 + 0.0101


@given(samples, samples)
def test_merging_commutes_and_is_the_same_as_adding(
    one: list[tuple[float, datetime]], other: list[tuple[float, datetime]]
) -> None:
    merged, swapped = histogram(one).merge(histogram(other)), histogram(other).merge(histogram(one))

    assert merged == swapped
    shares = [[weight / made.total_weight for weight in made.weights] for made in (merged, histogram([*one, *other]))]
    assert shares[0] == pytest.approx(shares[1], abs=1e-9)


@given(samples)
def test_the_order_of_samples_does_not_matter(values: list[tuple[float, datetime]]) -> None:
    forward, backward = histogram(values), histogram(values[::-1])

    shares = [[weight / made.total_weight for weight in made.weights] for made in (forward, backward)]
    assert shares[0] == pytest.approx(shares[1], abs=1e-9)


@given(samples)
def test_saving_what_was_loaded_gives_the_same_again(values: list[tuple[float, datetime]]) -> None:
    saved = histogram(values).to_json()

    loaded = Histogram.from_json(json.loads(json.dumps(saved)), CPU_CORES)

    assert loaded.to_json()["weights"] == saved.get("weights")
    assert loaded.total_weight == pytest.approx(saved["total"])


@settings(max_examples=25, deadline=None)
@given(rates)
def test_a_loaded_state_is_advised_like_the_saved_one(load: list[float]) -> None:
    state = history(load)

    loaded = WorkloadState.from_json(json.loads(json.dumps(state.to_json())))

    assert advice(loaded).target.memory == advice(state).target.memory
    assert advice(loaded).target.replicas == pytest.approx(advice(state).target.replicas, abs=1)  # rates have 4 digits


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.floats(min_value=0, max_value=300), st.floats(min_value=0, max_value=100)), min_size=3),
    st.sampled_from([1, 2, 4]),
)
def test_more_load_never_needs_fewer_replicas(load: list[tuple[float, float]], servers: int) -> None:
    lower, higher = history([rate for rate, _ in load]), history([rate + more for rate, more in load])

    assert advice(lower, servers=servers).target.replicas <= advice(higher, servers=servers).target.replicas


@settings(max_examples=25, deadline=None)
@given(rates, objectives, objectives)
def test_a_stricter_quantile_never_needs_fewer_replicas(load: list[float], one: float, other: float) -> None:
    state = history(load)

    loose, strict = advice(state, quantile=min(one, other)), advice(state, quantile=max(one, other))

    assert loose.target.replicas <= strict.target.replicas


@settings(max_examples=25, deadline=None)
@given(rates)
def test_bounds_hold_the_target_between_them(load: list[float]) -> None:
    answer = advice(history(load))

    amounts = [(one.cpu.value, one.memory.value, one.replicas) for one in (answer.lower, answer.target, answer.upper)]
    assert all(lower <= target <= upper for lower, target, upper in zip(*amounts, strict=True))


@settings(max_examples=25, deadline=None)
@given(rates, st.decimals(min_value="0.001", max_value=1000, places=3))
def test_scaling_all_prices_changes_no_choice(load: list[float], factor: Decimal) -> None:
    def price(one: Size) -> Decimal:
        return (one.cpu.value * 40 + one.memory.value / 2**30 * 5) * one.replicas / 1000

    state, request = history(load), SizingRequest(applied=size(), min_shrink_samples=1)
    plain = recommend(state, request, price=price, now=NOW)
    scaled = recommend(state, request, price=lambda one: price(one) * factor, now=NOW)

    assert isinstance(plain, Recommendation)
    assert isinstance(scaled, Recommendation)
    assert (plain.target, plain.explanation) == (scaled.target, scaled.explanation)
    kept = size(replicas=plain.target.replicas)
    held = [
        hold(
            ProposedChange(
                now=NOW,
                applied=size(),
                proposed=plain.target,
                kept_hourly=price(kept) * scale,
                proposed_hourly=price(plain.target) * scale,
            )
        )
        for scale in (Decimal(1), factor)
    ]
    assert held[0] == held[1]


@given(
    st.floats(min_value=0.1, max_value=5_000),
    st.integers(min_value=1, max_value=60),
    st.floats(min_value=0.0001, max_value=1),
    st.floats(min_value=0, max_value=2),
)
def test_more_servers_never_wait_longer(rate: float, servers: int, service: float, wait: float) -> None:
    shares = [
        waits_longer_ratio(rate * service, service_seconds=service, servers=count, wait_seconds=wait)
        for count in (servers, servers + 1)
    ]

    assert 0 <= shares[1] <= shares[0] * (1 + 1e-9) <= 1 + 1e-9


@given(
    st.floats(min_value=0, max_value=20_000),
    st.integers(min_value=1, max_value=8),
    st.floats(min_value=0.0005, max_value=0.049),
    st.floats(min_value=1, max_value=5),
    st.sampled_from([0.5, 0.9, 0.99, 0.999]),
)
def test_the_count_of_replicas_is_the_smallest_that_holds(
    rate: float, servers: int, service: float, occupied: float, quantile: float
) -> None:
    replica = Server(servers=servers, service_seconds=service, occupied_seconds=service * occupied)

    def late(replicas: int) -> float:
        return late_ratio(rate, replicas=replicas, replica=replica, threshold_seconds=0.05)

    count = replicas_for_objective(rate, replica=replica, threshold_seconds=0.05, quantile=quantile)

    assert count is not None
    assert late(count) <= 1 - quantile or count == MAX_REPLICAS
    assert count == 1 or late(count - 1) > 1 - quantile


sizes = st.builds(
    lambda cpu, replicas: size(f"{cpu}m", replicas),
    st.integers(min_value=1, max_value=4_000),
    st.integers(min_value=1, max_value=20),
)


@given(sizes, sizes)
def test_what_is_urgent_takes_nothing_away_from_a_replica(applied: Size, proposed: Size) -> None:
    urgent = urgent_part(applied, proposed)

    assert urgent.cpu.value == max(applied.cpu.value, proposed.cpu.value)
    assert urgent.replicas == proposed.replicas
    assert hold(ProposedChange(now=NOW, applied=applied, proposed=urgent, last_change=NOW)) is None
