"""Generated load traces: a daily and a weekly shape, noise, jumps and bursts, repeatable from a seed. Measures nothing.

For demonstrations, benchmarks and tests; whoever shows such a history to people labels it as generated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from frugal.sizing.samples import LoadSample, Observation, UsageSample
from frugal.sizing.state import WorkloadState

MINUTES_PER_DAY = 1_440
MINUTES_PER_WEEK = 7 * MINUTES_PER_DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandShape:
    """How a load moves around its base rate; all shares are relative to that rate."""

    daily_ratio: float = 0.6  # the quietest minute of a day is this far under its mean, the busiest this far over
    weekend_ratio: float = 0.4  # how much less comes on days 6 and 7
    noise_ratio: float = 0.05  # standard deviation from minute to minute
    jumps_per_week: float = 2.0  # lasting changes of the level, each to 0.7-1.5 times the base
    bursts_per_day: float = 3.0  # 2 to 15 minutes at 1.5 to 3 times the load


def generate_demand(
    seed: int, minutes: int, base_rate: float, *, shape: DemandShape | None = None, busiest_minute: int = 900
) -> tuple[float, ...]:
    """Return the requests per second of each of `minutes`, none below 0; the same seed gives the same trace.

    base_rate: mean of a weekday without jumps and bursts, in requests per second.
    busiest_minute: minute of the day, counted from the trace's first, at which its wave is highest.
    """
    shape = shape or DemandShape()
    numbers = _uniform(seed)
    level, burst, burst_left, trace = 1.0, 1.0, 0, []
    for minute in range(minutes):
        jumped, burst_starts = next(numbers), next(numbers)
        size, length, noise = next(numbers), next(numbers), next(numbers) + next(numbers) + next(numbers) - 1.5
        if jumped < shape.jumps_per_week / MINUTES_PER_WEEK:
            level = 0.7 + 0.8 * size
        if burst_left == 0 and burst_starts < shape.bursts_per_day / MINUTES_PER_DAY:
            burst, burst_left = 1.5 + 1.5 * size, 2 + int(14 * length)
        factor = burst if burst_left else 1.0
        burst_left = max(0, burst_left - 1)
        calm = base_rate * level * _season(minute, shape, busiest_minute)
        trace.append(max(0.0, calm * factor * (1 + 2 * shape.noise_ratio * noise)))
    return tuple(trace)


def history_from_demand(
    rates: Sequence[float],
    *,
    service_seconds: float,
    cores_per_request_second: float,
    memory_bytes: int,
    now: datetime,
    replicas: int = 1,
) -> WorkloadState:
    """Return what would have been learnt had `rates`, one a minute, ended `now` on `replicas` replicas.

    service_seconds: compute time of a request. cores_per_request_second: cores used per request per second, which is
    the CPU seconds of a request. memory_bytes: working set of a replica.
    """
    state = WorkloadState.empty()
    for observation in _observations(rates, service_seconds, cores_per_request_second, memory_bytes, now, replicas):
        state = state.observe(observation)
    return state


def _observations(
    rates: Sequence[float], service_seconds: float, cores: float, memory_bytes: int, now: datetime, replicas: int
) -> Iterable[Observation]:
    start = now - timedelta(minutes=len(rates))
    for minute, rate in enumerate(rates, start=1):
        at = start + timedelta(minutes=minute)
        usage = UsageSample(at=at, cpu_cores=rate * cores / replicas, memory_bytes=memory_bytes)
        load = LoadSample(
            at=at,
            interval_seconds=60,
            requests=rate * 60,
            failed=0,
            service_seconds=service_seconds if rate else None,
            latency_buckets=(),
            in_flight=rate * service_seconds,
            replicas=replicas,
        )
        yield Observation(usage=(usage,), load=load)


def _season(minute: int, shape: DemandShape, busiest_minute: int) -> float:
    angle = 2 * math.pi * (minute - busiest_minute) / MINUTES_PER_DAY
    is_weekend = minute % MINUTES_PER_WEEK >= 5 * MINUTES_PER_DAY
    return (1 + shape.daily_ratio * math.cos(angle)) * (1 - shape.weekend_ratio * is_weekend)


def _uniform(seed: int) -> Iterator[float]:
    """Yield numbers in [0, 1): SplitMix64 (Steele, Lea, Flood, 2014), so that a trace depends on its seed alone."""
    mask = 2**64 - 1
    state = seed & mask
    while True:
        state = (state + 0x9E3779B97F4A7C15) & mask
        mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
        yield ((mixed ^ (mixed >> 31)) >> 11) / 2**53
