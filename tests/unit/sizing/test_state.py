from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from frugal.sizing.demand import generate_demand, history_from_demand
from frugal.sizing.samples import LoadSample, Observation, UsageSample
from frugal.sizing.state import WorkloadState

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def usage(cores: float | None = 0.2, *, at: datetime = NOON, memory: int | None = 2**28) -> UsageSample:
    return UsageSample(at=at, cpu_cores=cores, memory_bytes=memory)


def load(*, at: datetime = NOON, requests: float = 600, replicas: int = 1, edges: int = 12) -> LoadSample:
    return LoadSample(
        at=at,
        interval_seconds=60,
        requests=requests,
        failed=0,
        service_seconds=0.003,
        latency_buckets=tuple((0.005 * 2**edge, int(requests)) for edge in range(edges)),
        in_flight=1,
        replicas=replicas,
    )


def test_nothing_observed_is_empty() -> None:
    state = WorkloadState.empty().observe(Observation(usage=()))

    assert state.is_empty
    assert state == WorkloadState.empty()


def test_an_idle_replica_looks_idle() -> None:
    state = WorkloadState.empty().observe(Observation(usage=(usage(0.9),)))
    for minute in range(1, 100):
        state = state.observe(Observation(usage=(usage(0.0, at=NOON + timedelta(minutes=minute)),)))

    assert state.cpu.percentile(0.95) == pytest.approx(0.01)  # the end of the bucket that starts at 0


def test_what_was_not_measured_is_not_taken_for_idle() -> None:
    state = WorkloadState.empty().observe(Observation(usage=(usage(None),)))

    assert state.cpu.is_empty
    assert not state.memory.is_empty


def test_several_samples_in_a_minute_are_one_minute() -> None:
    state = WorkloadState.empty()
    for second in (0, 15, 30, 45, 60):
        at = NOON + timedelta(seconds=second)
        state = state.observe(Observation(usage=(usage(at=at), usage(at=at)), load=load(at=at, replicas=2)))

    assert state.usage_minutes == 2


def test_load_that_comes_before_the_use_of_its_minute_hides_no_minute() -> None:
    state = WorkloadState.empty().observe(Observation(usage=(usage(),)))

    state = state.observe(Observation(usage=(), load=load(at=NOON + timedelta(seconds=65))))
    state = state.observe(Observation(usage=(usage(at=NOON + timedelta(seconds=70)),)))

    assert state.usage_minutes == 2


def test_the_total_counts_every_replica() -> None:
    at_two = WorkloadState.empty().observe(Observation(usage=(usage(0.3), usage(0.3)), load=load(replicas=2)))

    assert 0.3 <= at_two.cpu.percentile(0.95) <= 0.32
    assert 0.6 <= at_two.cpu_total.percentile(0.95) <= 0.64


def test_a_kill_is_kept_even_before_any_sample() -> None:
    state = WorkloadState.empty().observe(Observation(usage=(), out_of_memory_bytes=(2**28,)))

    assert state.out_of_memory is not None
    assert state.out_of_memory.holds(NOON)
    assert state.out_of_memory.killed_bytes == 2**28


def test_a_kill_is_forgotten_after_a_day() -> None:
    state = WorkloadState.empty().observe(Observation(usage=(usage(),), out_of_memory_bytes=(2**28,)))

    assert state.out_of_memory is not None
    assert state.out_of_memory.holds(NOON + timedelta(hours=23))
    assert not state.out_of_memory.holds(NOON + timedelta(hours=25))


def test_an_old_larger_kill_does_not_inflate_a_new_one() -> None:
    state = WorkloadState.empty().observe(Observation(usage=(usage(),), out_of_memory_bytes=(2**32,)))

    state = state.observe(Observation(usage=(usage(at=NOON + timedelta(days=90)),), out_of_memory_bytes=(2**28,)))

    assert state.out_of_memory is not None
    assert state.out_of_memory.killed_bytes == 2**28


def test_the_newest_of_two_kills_in_a_day_keeps_the_larger_size() -> None:
    state = WorkloadState.empty().observe(Observation(usage=(usage(),), out_of_memory_bytes=(2**29,)))

    state = state.observe(Observation(usage=(usage(at=NOON + timedelta(hours=1)),), out_of_memory_bytes=(2**28,)))

    assert state.out_of_memory is not None
    assert state.out_of_memory.killed_bytes == 2**29


def test_a_month_of_every_measure_is_small_and_loads_again() -> None:
    state = history_from_demand(
        generate_demand(5, 2_880, 200.0),
        service_seconds=0.003,
        cores_per_request_second=0.004,
        memory_bytes=2**28,
        now=NOON,
    )
    for hour in range(24 * 40):
        at = NOON + timedelta(hours=hour)
        full = UsageSample(
            at=at,
            cpu_cores=0.01 * 1.05 ** (hour % 170),
            memory_bytes=int(1e7 * 1.05 ** (hour % 170)),
            gpu_ratio=hour % 100 / 100,
            gpu_memory_bytes=int(1e9),
        )
        state = state.observe(Observation(usage=(full,), load=load(at=at, requests=9e6, edges=20)))

    text = json.dumps(state.to_json())
    loaded = WorkloadState.from_json(json.loads(text))

    assert len(text) < 32 * 1024
    assert loaded.to_json() == state.to_json()
    assert loaded.cpu.percentile(0.95) == state.cpu.percentile(0.95)
    assert loaded.usage_minutes == state.usage_minutes


def test_a_state_of_another_version_is_learnt_again() -> None:
    assert WorkloadState.from_json({"version": 0}) == WorkloadState.empty()
