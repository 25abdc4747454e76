from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from frugal.api.conditions import Reason
from frugal.api.inference_deployment import LatencyObjective
from frugal.api.status import Size
from frugal.sizing.demand import history_from_demand
from frugal.sizing.recommendation import Recommendation, Refusal, SizingRequest, recommend
from frugal.sizing.samples import LoadSample, Observation, UsageSample
from frugal.sizing.state import WorkloadState
from frugal.units import MIB, Duration, Quantity

NOW = datetime(2026, 3, 16, 12, tzinfo=UTC)
FAST = LatencyObjective(threshold=Duration("50ms"), quantile=0.99)
DAY = 1_440


def size(cpu: str = "1", memory: str = "1Gi", replicas: int = 2, **more: Any) -> Size:
    limit = more.pop("memory_limit", memory)
    return Size(
        cpu=Quantity(cpu),
        memory=Quantity(memory),
        memory_limit=limit and Quantity(limit),
        replicas=replicas,
        **more,
    )


def history(
    rate: float = 84.0, *, minutes: int = DAY, service_seconds: float = 0.0031, replicas: int = 2, memory: int = 180
) -> WorkloadState:
    """A steady load; a request costs 4 ms of CPU."""
    return history_from_demand(
        (rate,) * minutes,
        service_seconds=service_seconds,
        cores_per_request_second=0.004,
        memory_bytes=memory * MIB,
        now=NOW,
        replicas=replicas,
    )


def advice(state: WorkloadState, applied: Size | None = None, **request: Any) -> Recommendation:
    asked = SizingRequest(applied=applied or size(), **{"slo": FAST, **request})
    answer = recommend(state, asked, now=NOW)
    assert isinstance(answer, Recommendation), answer
    return answer


def refusal(state: WorkloadState, **request: Any) -> Refusal:
    answer = recommend(state, SizingRequest(applied=size(), **request), now=NOW)
    assert isinstance(answer, Refusal), answer
    return answer


def test_requests_are_use_plus_fifteen_percent() -> None:
    answer = advice(history(replicas=2))

    # 84 / 2 * 0.004 = 168m each, 336m together, in a bucket of 5 % + 10m: 336m to 363m; times 1.15
    assert 386 <= answer.target.cpu.cores * 1000 * answer.target.replicas <= 418
    assert 207 <= answer.target.memory.whole / MIB <= 229  # 180 in a bucket of 5 % + 10 MB, times 1.15


def test_the_sentence_is_made_of_its_figures() -> None:
    answer = advice(history(840.0), size(replicas=8))

    figures = answer.figures
    assert answer.explanation == (
        f"p95 CPU {math.ceil(figures['cpu_p95_cores'] * 1000)}m "
        f"and peak memory {figures['memory_peak_bytes'] / MIB:.3g}Mi over 23h59m: "
        f"requests {answer.target.cpu} and {answer.target.memory}; "
        f"{answer.target.replicas} replicas keep p99 under 50ms "
        f"at {figures['peak_requests_per_second']:.3g} req/s (service time 3.1 ms, 4 ms of CPU)"
    )


def test_the_same_inputs_give_the_same_answer() -> None:
    assert advice(history()) == advice(history())


def test_the_bounds_hold_the_target_between_them() -> None:
    answer = advice(history(400.0, minutes=3 * DAY))

    for bound in ("cpu", "memory"):
        lower, target, upper = (getattr(one, bound).value for one in (answer.lower, answer.target, answer.upper))
        assert lower <= target <= upper
    assert answer.lower.replicas <= answer.target.replicas <= answer.upper.replicas


def test_bounds_narrow_as_evidence_grows() -> None:
    young, old = advice(history(minutes=DAY)), advice(history(minutes=7 * DAY))

    assert young.upper.cpu.cores / young.target.cpu.cores == pytest.approx(2.0, rel=0.03)  # 1 + 1 / (1 day)
    assert old.upper.cpu.cores / old.target.cpu.cores == pytest.approx(1 + 1 / 7, rel=0.03)


def test_fewest_replicas_that_keep_the_objective() -> None:
    answer = advice(history(84.0), size(replicas=6))

    assert answer.target.replicas == 1  # load 0.26 of a server: 0.26 * exp(-0.74 * 46.9 / 3.1) is far below 1 %


def test_a_load_that_one_replica_cannot_keep_in_time_gets_more() -> None:
    answer = advice(history(84.0, service_seconds=0.011), size(replicas=1), servers_per_replica=1)

    # 84 to 88 req/s are a load of 0.92 to 0.97. At 5 replicas each has 0.185 to 0.194, and the late share is at least
    # 0.185 * exp(-0.815 * 39 / 11) = 1.03 %; at 6 it is at most 0.162 * exp(-0.838 * 39 / 11) = 0.83 %
    assert answer.target.replicas == 6


def test_growth_needs_one_minute_only() -> None:
    state = history(900.0, minutes=3, replicas=1)

    answer = advice(state, size(cpu="100m", memory="100Mi", replicas=1))

    assert answer.target.cpu.cores > 0.1
    assert answer.target.memory.whole > 180 * MIB
    assert answer.target.replicas > 1


def test_a_shrink_waits_for_the_samples_that_its_quantile_needs() -> None:
    early, enough = advice(history(minutes=58)), advice(history(minutes=60))

    assert early.target.cpu == "1"
    assert "CPU stays: 58 of the 59 minutes" in early.explanation
    assert enough.target.cpu.cores < 1


def test_replicas_on_a_p99_go_only_after_299_minutes() -> None:
    early, enough = advice(history(minutes=299)), advice(history(minutes=301))  # the newest minute is not over

    assert early.target.replicas == 2
    assert "replicas stay: 298 of the 299 minutes" in early.explanation
    assert enough.target.replicas == 1


def test_a_shrink_may_be_asked_for_with_less_evidence() -> None:
    answer = advice(history(minutes=10), min_shrink_samples=5)

    assert answer.target.cpu.cores < 1


def test_a_use_that_wavers_within_half_the_margin_changes_nothing() -> None:
    state = history(replicas=1, rate=50.0)
    settled = advice(state, size(replicas=1)).target

    wavering = advice(history(replicas=1, rate=51.5), settled).target  # the next bucket: 5 % more

    assert wavering == settled


def test_a_kill_for_lack_of_memory_doubles_at_once() -> None:
    state = history(minutes=2, memory=120).observe(Observation(usage=(), out_of_memory_bytes=(128 * MIB,)))

    answer = advice(state, size(memory="128Mi"))

    assert answer.target.memory == "256Mi"
    assert answer.target.memory_limit is not None
    assert answer.target.memory_limit.whole >= 256 * MIB


def test_a_fourfold_need_is_reached_after_two_kills() -> None:
    applied, state = size(memory="128Mi"), history(minutes=2, memory=120)
    kills = 0
    while applied.memory_limit is not None and applied.memory_limit.whole < 4 * 128 * MIB:
        state = state.observe(Observation(usage=(), out_of_memory_bytes=(applied.memory_limit.whole,)))
        applied, kills = advice(state, applied).target, kills + 1

    assert kills <= 2


def test_a_container_that_dies_before_any_sample_still_gets_more_memory() -> None:
    state = WorkloadState.empty().observe(Observation(usage=(), out_of_memory_bytes=(1024 * MIB,)))

    answer = advice(state)

    assert answer.target == size(memory="2048Mi")
    assert "killed for lack of memory at 1Gi" in answer.explanation


def test_the_doubled_memory_settles_to_the_peaks_after_a_day() -> None:
    state = history(minutes=DAY + 120, memory=180)
    first = state.first_at
    assert first is not None
    killed = WorkloadState.empty().observe(
        Observation(
            usage=(UsageSample(at=first - timedelta(minutes=1), cpu_cores=0.1, memory_bytes=120 * MIB),),
            out_of_memory_bytes=(1024 * MIB,),
        )
    )
    for minute in range(DAY + 120):
        at = first + timedelta(minutes=minute)
        killed = killed.observe(Observation(usage=(UsageSample(at=at, cpu_cores=0.1, memory_bytes=180 * MIB),)))

    asked = SizingRequest(applied=size(memory="2Gi"))
    answer = recommend(killed, asked, now=first + timedelta(minutes=DAY + 119))

    assert isinstance(answer, Recommendation)
    assert answer.target.memory.whole <= 218 * MIB


def test_never_below_min_nor_above_max() -> None:
    few = advice(history(1.0), size(replicas=5), min_replicas=3, max_replicas=8)
    many = advice(history(9_000.0), size(replicas=5), min_replicas=3, max_replicas=8)

    assert few.target.replicas == 3
    assert many.target.replicas == 8
    assert "replicas.max is 8" in many.explanation
    assert "8 replicas cannot keep p99 under 50ms" in many.explanation


def test_a_service_without_requests_keeps_one_replica() -> None:
    answer = advice(history(0.0), min_replicas=0)

    assert answer.target.replicas == 1
    assert "no request came" in answer.explanation


def test_an_external_scaler_is_told_what_the_load_needs() -> None:
    ours, theirs = advice(history(500.0)), advice(history(500.0), scaling_owned=False)

    assert theirs.target.replicas == ours.target.replicas > 2
    assert "an external scaler owns their number" in theirs.explanation


def test_with_an_external_scaler_the_cpu_of_a_replica_is_what_a_replica_uses() -> None:
    answer = advice(history(84.0, replicas=4), scaling_owned=False)

    assert 84 / 4 * 4 * 1.15 <= answer.target.cpu.cores * 1000 <= 84 / 4 * 4 * 1.15 * 1.2


def test_a_burst_adds_replicas_and_leaves_the_requests() -> None:
    calm = history(250.0, minutes=2 * DAY, replicas=1)
    applied = advice(calm, size(replicas=1), servers_per_replica=1).target
    burst = calm
    for minute in range(1, 4):
        at = NOW + timedelta(minutes=minute)
        load = LoadSample(
            at=at,
            interval_seconds=60,
            requests=900 * 60,
            failed=0,
            service_seconds=0.0031,
            latency_buckets=(),
            in_flight=9,
            replicas=1,
        )
        burst = burst.observe(Observation(usage=(), load=load))

    answer = recommend(
        burst, SizingRequest(applied=applied, slo=FAST, servers_per_replica=1), now=NOW + timedelta(minutes=3)
    )

    assert isinstance(answer, Recommendation)
    assert answer.target.replicas > applied.replicas
    assert (answer.target.cpu, answer.target.memory) == (applied.cpu, applied.memory)


def test_no_replica_goes_while_the_objective_is_missed() -> None:
    state = history(84.0)
    late = LoadSample(
        at=NOW,
        interval_seconds=60,
        requests=5_000,
        failed=0,
        service_seconds=0.0031,
        latency_buckets=((0.05, 4_800), (1.0, 5_000)),
        in_flight=9,
        replicas=2,
    )

    answer = advice(state.observe(Observation(usage=(), load=late)))

    assert answer.target.replicas == 2
    assert "misses the objective" in answer.explanation


def test_an_objective_below_the_service_time_is_said_and_not_paid_for() -> None:
    answer = advice(history(84.0, service_seconds=0.06), size(replicas=1), max_replicas=50)

    assert answer.target.replicas == 8  # 84 to 88 req/s * 0.06 / 0.7
    assert "no number of them answers within 50ms" in answer.explanation


def test_without_an_objective_replicas_are_kept_under_seventy_percent() -> None:
    answer = advice(history(800.0), slo=None, servers_per_replica=1)

    assert answer.target.replicas == 5  # 800 to 840 req/s * 0.004 s of CPU / 0.7 = 4.6 to 4.8
    assert "under 70 %" in answer.explanation


def test_replicas_stay_where_no_load_is_measured() -> None:
    state = WorkloadState.empty()
    for minute in range(500):
        at = NOW - timedelta(minutes=499 - minute)
        state = state.observe(Observation(usage=(UsageSample(at=at, cpu_cores=0.1, memory_bytes=100 * MIB),)))

    answer = advice(state, size(replicas=3))

    assert answer.target.replicas == 3
    assert "no load is measured" in answer.explanation


def test_an_accelerator_keeps_its_kind_and_says_what_it_did() -> None:
    state = history()
    sample = UsageSample(at=NOW, cpu_cores=0.2, memory_bytes=MIB, gpu_ratio=0.11, gpu_memory_bytes=3 * 2**30)

    answer = advice(state.observe(Observation(usage=(sample,))), size(accelerator="nvidia.com/gpu", count=1))

    assert (answer.target.accelerator, answer.target.count) == ("nvidia.com/gpu", 1)
    assert "p95 GPU activity 11% and peak GPU memory 3" in answer.explanation
    assert "1 nvidia.com/gpu stays" in answer.explanation


def test_an_adopted_workload_keeps_its_ratio_of_limit_to_request() -> None:
    answer = advice(history(), size(memory="1Gi", memory_limit="3Gi"), keeps_limit_ratio=True)

    assert answer.target.memory_limit is not None
    assert answer.target.memory_limit.value / answer.target.memory.value == pytest.approx(3, rel=0.01)


def test_a_workload_without_a_limit_gets_none() -> None:
    assert advice(history(), size(memory_limit=None)).target.memory_limit is None


def test_a_price_only_adds_what_the_change_is_worth() -> None:
    request = SizingRequest(applied=size(), slo=FAST)

    def price(one: Size) -> Decimal:
        return one.cpu.value * one.replicas * Decimal("0.04")

    plain, priced = recommend(history(), request, now=NOW), recommend(history(), request, price=price, now=NOW)

    assert isinstance(plain, Recommendation)
    assert isinstance(priced, Recommendation)
    assert priced.target == plain.target
    assert priced.explanation.startswith(plain.explanation + "; ")
    assert priced.explanation.endswith("% cheaper than 2 x 1 and 1Gi")


def test_nothing_measured_is_refused() -> None:
    assert refusal(WorkloadState.empty()).reason is Reason.TELEMETRY_MISSING


def test_old_samples_are_refused_with_their_age() -> None:
    state = history()

    answer = recommend(state, SizingRequest(applied=size()), now=NOW + timedelta(minutes=20))

    assert isinstance(answer, Refusal)
    assert answer.reason is Reason.TELEMETRY_STALE
    assert "20m" in answer.message


def test_less_than_a_minute_is_refused() -> None:
    sample = UsageSample(at=NOW, cpu_cores=0.1, memory_bytes=MIB)

    answer = refusal(WorkloadState.empty().observe(Observation(usage=(sample,))))

    assert answer.reason is Reason.TOO_FEW_SAMPLES
    assert "at least 1m" in answer.message
