"""How fast right-sizing decides: a recommendation from weeks of history, and learning one observation, on one core."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from bench.figures import Figure, Goal, write
from frugal.api.inference_deployment import LatencyObjective
from frugal.api.status import Size
from frugal.sizing.demand import generate_demand, history_from_demand
from frugal.sizing.recommendation import SizingRequest, recommend
from frugal.sizing.samples import LoadSample, Observation, UsageSample
from frugal.sizing.state import WorkloadState
from frugal.units import MIB, Duration, Quantity

NOW = datetime(2026, 3, 16, 12, tzinfo=UTC)
MINUTES = 14 * 1_440
WORKLOADS = 20  # different histories, so that no single one is measured
ROUNDS = 50


def history(seed: int, minutes: int) -> WorkloadState:
    """Return what is learnt of a generated load of 5 to 5 * WORKLOADS requests a second."""
    return history_from_demand(
        generate_demand(seed, minutes, 5.0 * (seed + 1)),
        service_seconds=0.0031,
        cores_per_request_second=0.004,
        memory_bytes=180 * MIB,
        now=NOW,
        replicas=2,
    )


def observation(minute: int) -> Observation:
    """Return one tick: two replicas, and a latency histogram of 15 buckets."""
    at = NOW + timedelta(minutes=minute)
    usage = tuple(UsageSample(at=at, cpu_cores=0.1 * share, memory_bytes=180 * MIB) for share in (1, 2))
    load = LoadSample(
        at=at,
        interval_seconds=60,
        requests=4_000,
        failed=0,
        service_seconds=0.0031,
        latency_buckets=tuple((0.001 * 2**edge, 4_000) for edge in range(15)),
        in_flight=1,
        replicas=2,
    )
    return Observation(usage=usage, load=load)


def seconds_each(work: Callable[[], object], count: int) -> float:
    """Return the CPU seconds that one of `count` runs took, at the mean."""
    started = time.process_time()
    for _ in range(count):
        work()
    return (time.process_time() - started) / count


def main() -> None:
    """Measure, and write build/bench/sizing_decisions.json."""
    started = time.process_time()
    first = history(7, MINUTES)
    learning_seconds = time.process_time() - started
    states = [first, *(history(seed, 1_440) for seed in range(WORKLOADS - 1))]
    applied = Size(cpu=Quantity("1"), memory=Quantity("1Gi"), memory_limit=Quantity("2Gi"), replicas=4)
    objective = LatencyObjective(threshold=Duration("50ms"), quantile=0.99)
    request = SizingRequest(applied=applied, slo=objective, max_replicas=100, servers_per_replica=1)

    def decide() -> None:
        for state in states:
            recommend(state, request, now=NOW)

    decision = seconds_each(decide, ROUNDS) / len(states)
    ticks = iter(range(10_000))
    observing = seconds_each(lambda: first.observe(observation(next(ticks))), 2_000)
    saved_bytes = max(len(json.dumps(state.to_json())) for state in states)
    write(
        "sizing_decisions",
        (
            Figure(
                figure="one recommendation",
                value=decision * 1_000,
                unit="ms",
                goal=Goal(direction="at most", value=2),
            ),
            Figure(figure="recommendations a second", value=1 / decision, unit="1/s"),
            Figure(figure="learning one tick of two replicas", value=observing * 1_000, unit="ms"),
            Figure(
                figure="learning 14 days minute by minute",
                value=learning_seconds,
                unit="s",
                goal=Goal(direction="at most", value=2),
            ),
            Figure(
                figure="a saved state",
                value=saved_bytes / 1_024,
                unit="KiB",
                goal=Goal(direction="at most", value=32),
            ),
        ),
    )


if __name__ == "__main__":
    main()
