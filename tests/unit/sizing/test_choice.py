from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import pytest

from frugal.api.inference_deployment import LatencyObjective
from frugal.api.status import Size
from frugal.sizing.accelerators import CPU_KIND, Kind, kind_on
from frugal.sizing.recommendation import Recommendation, SizingRequest, recommend
from frugal.sizing.samples import LoadSample, Observation, UsageSample
from frugal.sizing.state import WorkloadState
from frugal.units import GIB, Duration, Quantity

NOW = datetime(2026, 3, 16, 12, tzinfo=UTC)
A100 = kind_on({"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}, "nvidia.com/gpu", 1)
SLICE = kind_on({"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}, "nvidia.com/mig-1g.10gb", 1)
T4 = kind_on({"nvidia.com/gpu.product": "Tesla-T4"}, "nvidia.com/gpu", 1)
PRICES = {A100.key: Decimal("4"), SLICE.key: Decimal("0.6"), T4.key: Decimal("0.35"), CPU_KIND.key: Decimal(0)}


def on(kind: Kind, replicas: int = 1) -> Size:
    return Size(
        accelerator=kind.accelerator,
        product=kind.product,
        count=kind.count,
        cpu=Quantity("1"),
        memory=Quantity("4Gi"),
        memory_limit=Quantity("8Gi"),
        replicas=replicas,
    )


@cache
def served(
    *,
    kind: Kind = A100,
    rate: float = 2.0,
    service_seconds: float = 0.02,
    activity: float = 0.05,
    gpu_gib: int = 3,
    minutes: int = 400,
    is_load_measured: bool = True,
) -> WorkloadState:
    """A steady load on one replica, a sample a minute."""
    state = WorkloadState.empty()
    for minute in range(minutes):
        at = NOW - timedelta(minutes=minutes - minute)
        usage = UsageSample(
            at=at, cpu_cores=0.4, memory_bytes=2 * GIB, gpu_ratio=activity, gpu_memory_bytes=gpu_gib * GIB
        )
        load = LoadSample(
            at=at,
            interval_seconds=60,
            requests=rate * 60,
            failed=0,
            service_seconds=service_seconds,
            latency_buckets=(),
            in_flight=0,
            replicas=1,
        )
        state = state.observe(Observation(usage=(usage,), load=load if is_load_measured else None, kind=kind.key))
    return state


def asked(
    state: WorkloadState,
    kind: Kind = A100,
    *,
    kinds: tuple[Kind, ...] = (A100, SLICE, T4),
    prices: dict[str, Decimal] = PRICES,
    threshold: str = "500ms",
    per_core: Decimal = Decimal("0.01"),
    **more: Any,
) -> Recommendation:
    def price(size: Size) -> Decimal | None:
        by_kind = {(one.accelerator, one.product): prices.get(one.key) for one in (A100, SLICE, T4, CPU_KIND)}
        each = by_kind[size.accelerator, size.product]
        return None if each is None else size.replicas * (each + size.cpu.value * per_core)

    request = SizingRequest(
        applied=on(kind),
        slo=LatencyObjective(threshold=Duration(threshold), quantile=0.99),
        kind=kind,
        kinds=kinds,
        **more,
    )
    answer = recommend(state, request, price=price, now=NOW)
    assert isinstance(answer, Recommendation)
    return answer


def reasons(answer: Recommendation) -> dict[str, str]:
    return {f"{one.size.accelerator} {one.size.product}".strip(): one.reason for one in answer.alternatives}


def test_an_idle_card_is_exchanged_for_the_cheapest_that_fits() -> None:
    answer = asked(served())

    assert (answer.target.accelerator, answer.target.product) == ("nvidia.com/gpu", "Tesla-T4")
    assert answer.kept.accelerator == "nvidia.com/gpu"
    assert answer.kept.product == "NVIDIA-A100-SXM4-80GB"
    assert "1 nvidia.com/gpu (Tesla-T4) instead of 1 nvidia.com/gpu (NVIDIA-A100-SXM4-80GB)" in answer.explanation
    assert not answer.is_rescue
    assert [one.reason for one in answer.alternatives] == ["it costs more", "it costs more"]
    assert [one.hourly for one in answer.alternatives] == sorted(one.hourly or 0 for one in answer.alternatives)


def test_memory_is_a_floor() -> None:
    answer = asked(served(gpu_gib=12))  # fits 90 % of the T4's 14.9 GiB, no slice of 10 GB

    assert answer.target.product == "Tesla-T4"
    assert reasons(answer)["nvidia.com/mig-1g.10gb NVIDIA-A100-SXM4-80GB"].startswith("a replica needs 12")

    assert asked(served(gpu_gib=30)).target.product == "NVIDIA-A100-SXM4-80GB"


def test_a_kind_on_which_a_request_takes_too_long_is_not_taken() -> None:
    answer = asked(served(), threshold="100ms")  # 20 ms on the A100: 121 ms on the T4 (bandwidth 1935/320), 160 a slice

    assert answer.target.product == "NVIDIA-A100-SXM4-80GB"
    assert reasons(answer)["nvidia.com/gpu Tesla-T4"] == "a request alone takes longer than 100ms"


def test_what_was_measured_on_a_kind_counts_more_than_what_is_published() -> None:
    slow = served()
    slow = replace(slow, elsewhere=((T4.key, served(kind=T4, service_seconds=0.01).capacity),))

    answer = asked(slow, threshold="100ms")

    assert answer.target.product == "Tesla-T4"


def test_without_a_price_nothing_is_exchanged() -> None:
    no_present = asked(served(), prices={T4.key: Decimal("0.35")})
    no_other = asked(served(), prices={A100.key: Decimal(4), SLICE.key: Decimal("0.6")})

    assert no_present.target.product == "NVIDIA-A100-SXM4-80GB"
    assert no_other.target.accelerator == "nvidia.com/mig-1g.10gb"
    assert reasons(no_other)["nvidia.com/gpu Tesla-T4"] == "it has no price"


def test_another_kind_waits_for_the_evidence_that_its_quantile_needs() -> None:
    answer = asked(served(minutes=200))

    assert answer.target.product == "NVIDIA-A100-SXM4-80GB"
    assert reasons(answer)["nvidia.com/gpu Tesla-T4"] == "200 of the 299 minutes that another kind needs are measured"


def test_a_cpu_of_which_nothing_was_measured_is_not_taken() -> None:
    answer = asked(served(), kinds=(A100, CPU_KIND))

    assert answer.target.accelerator == "nvidia.com/gpu"
    assert reasons(answer)["cpu"] == "nothing is published of it, and nothing was measured on it"


def test_activity_decides_where_no_load_is_measured() -> None:
    idle = asked(served(is_load_measured=False, activity=0.05))  # 0.05 x 6 = 0.3 of a T4
    busy = asked(served(is_load_measured=False, activity=0.3))  # 1.8 of a T4, 2.4 of a slice

    assert idle.target.product == "Tesla-T4"
    assert busy.target.product == "NVIDIA-A100-SXM4-80GB"
    assert "it would be busy for" in reasons(busy)["nvidia.com/gpu Tesla-T4"]


def test_a_kind_that_cannot_keep_the_objective_is_left_for_a_dearer_one_at_once() -> None:
    answer = asked(served(kind=T4, service_seconds=0.3, minutes=10), T4, threshold="200ms")

    assert answer.is_rescue
    assert answer.target.product == "NVIDIA-A100-SXM4-80GB"  # 300 ms on the T4 are 63 ms there, and 500 on a slice


def test_servers_that_batch_are_seen_to_serve_several_requests_at_once() -> None:
    state = served(rate=40.0, service_seconds=0.1, activity=0.5)

    assert state.concurrency.requests == pytest.approx(8)  # 4 in service on average, and busy half of the time
    assert asked(state, kinds=()).target.replicas == 1
    assert asked(state, kinds=(), servers_per_replica=1).target.replicas > 5


def test_what_one_kind_can_do_is_kept_while_another_is_measured() -> None:
    first = served()
    usage = UsageSample(at=NOW, cpu_cores=0.4, memory_bytes=GIB, gpu_ratio=0.5)

    moved = first.observe(Observation(usage=(usage,), kind=T4.key))
    back = moved.observe(Observation(usage=(usage,), kind=A100.key))

    assert moved.capacity_on(A100.key) == first.capacity
    assert moved.capacity_on(T4.key) is None
    assert moved.gpu.percentile(0.95) >= 0.5  # the old kind's idling is not the new one's
    assert back.service == first.service
    assert WorkloadState.from_json(moved.to_json()).capacity_on(A100.key) is not None


def test_a_mixture_of_kinds_teaches_nothing_of_either() -> None:
    sample = Observation(
        usage=(UsageSample(at=NOW, cpu_cores=0.4, memory_bytes=GIB, gpu_ratio=0.9),),
        load=LoadSample(
            at=NOW,
            interval_seconds=60,
            requests=600,
            failed=0,
            service_seconds=9.0,
            latency_buckets=(),
            in_flight=0,
            replicas=2,
        ),
    )

    after = served().observe(sample.of_mixed_kinds())

    assert after.capacity == served().capacity
    assert after.rates != served().rates
