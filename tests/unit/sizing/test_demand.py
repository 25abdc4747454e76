from __future__ import annotations

import time
from datetime import UTC, datetime
from statistics import fmean

import pytest

from frugal.sizing.demand import DemandShape, generate_demand, history_from_demand

NOW = datetime(2026, 3, 16, tzinfo=UTC)
TWO_WEEKS = 14 * 1_440
CALM = DemandShape(jumps_per_week=0, bursts_per_day=0, noise_ratio=0)


def test_the_same_seed_gives_the_same_trace_and_another_seed_another() -> None:
    assert generate_demand(7, 2_000, 10.0) == generate_demand(7, 2_000, 10.0)
    assert generate_demand(7, 2_000, 10.0) != generate_demand(8, 2_000, 10.0)


def test_a_calm_weekday_has_its_base_rate_as_its_mean() -> None:
    trace = generate_demand(7, 1_440, 10.0, shape=CALM)

    assert fmean(trace) == pytest.approx(10.0)
    assert max(trace) == trace[900] == pytest.approx(16.0)  # 60 % over it
    assert min(trace) == pytest.approx(4.0)


def test_weekends_are_quieter() -> None:
    trace = generate_demand(7, 7 * 1_440, 10.0, shape=CALM)

    assert fmean(trace[5 * 1_440 :]) == pytest.approx(6.0)


def test_bursts_and_noise_never_go_below_nothing() -> None:
    trace = generate_demand(3, TWO_WEEKS, 10.0, shape=DemandShape(noise_ratio=0.5, bursts_per_day=20))

    assert min(trace) >= 0
    assert max(trace) > 24.0  # 16 at the calm top, times 1.5 and more in a burst


def test_two_weeks_of_history_are_learnt_quickly() -> None:
    trace = generate_demand(7, TWO_WEEKS, 10.0)
    started = time.process_time()

    state = history_from_demand(
        trace, service_seconds=0.003, cores_per_request_second=0.004, memory_bytes=2**28, now=NOW, replicas=2
    )

    assert time.process_time() - started < 10  # about 1 s on an idle core
    assert state.usage_minutes == TWO_WEEKS
    assert state.last_at == NOW
    assert state.service.mean_seconds == pytest.approx(0.003)


def test_a_history_uses_the_cores_that_its_load_costs() -> None:
    state = history_from_demand(
        (100.0,) * 60, service_seconds=0.003, cores_per_request_second=0.004, memory_bytes=2**28, now=NOW, replicas=2
    )

    assert 0.2 <= state.cpu.percentile(0.95) <= 0.22  # 100 * 0.004 / 2, and a bucket
    assert 0.4 <= state.cpu_total.percentile(0.95) <= 0.43
