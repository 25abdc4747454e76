"""Differences of counters: what happened, what cannot be told, and what must not be counted twice or lost."""

from __future__ import annotations

from frugal.loop.ports import Reading, Workload
from frugal.sizing.samples import Observation
from frugal.telemetry.counters import PodCounters
from frugal.telemetry.deltas import Deltas, Look
from tests.unit.telemetry.factories import KEY, at, counters, pod, workload


def look(
    deltas: Deltas, seconds: float, *, of: Workload | None = None, faults: tuple[str, ...] = (), **pods: PodCounters
) -> Reading:
    seen = of or workload(*(pod(name) for name in pods))
    return deltas.reading((seen,), {KEY: Look(counters=pods, faults=faults)}, source="pods", now=at(seconds))


def only(reading: Reading) -> Observation:
    return reading.observations[KEY]


def test_the_first_look_tells_nothing_of_what_happened() -> None:
    reading = look(Deltas(), 0, a=counters(0, cpu=100.0, requests=5000))

    assert reading.observations == {}
    assert reading.problems == {}


def test_use_and_load_are_differences_over_the_time_between_two_looks() -> None:
    deltas = Deltas()
    look(deltas, 0, a=counters(0, cpu=100.0, requests=5000))

    seen = only(look(deltas, 10, a=counters(10, cpu=103.0, requests=5200, errors=4, memory_bytes=7)))

    assert seen.usage[0].cpu_cores == 0.3  # 3 s of CPU in 10 s
    assert seen.usage[0].memory_bytes == 7
    assert seen.load is not None
    assert (seen.load.requests, seen.load.failed, seen.load.rate) == (204, 4, 20.4)


def test_a_counter_that_fell_began_again_at_zero() -> None:
    deltas = Deltas()
    look(deltas, 0, a=counters(0, cpu=100.0, requests=5000))

    seen = only(look(deltas, 10, a=counters(10, cpu=1.0, requests=30)))

    assert seen.usage[0].cpu_cores == 0.1
    assert seen.load is not None
    assert seen.load.requests == 30


def test_all_replicas_together_are_the_load() -> None:
    deltas = Deltas()
    look(deltas, 0, a=counters(0, requests=0), b=counters(0, requests=0))

    seen = only(look(deltas, 10, a=counters(10, requests=10), b=counters(10, requests=20)))

    assert seen.load is not None
    assert (seen.load.requests, seen.load.replicas) == (30, 2)
    assert len(seen.usage) == 2


def test_a_replica_that_came_since_the_last_look_counts_from_zero_and_its_start_is_no_use() -> None:
    deltas = Deltas()
    look(deltas, 0, a=counters(0, cpu=10, requests=0))

    seen = only(look(deltas, 10, a=counters(10, cpu=11, requests=10), b=counters(10, cpu=9, requests=7)))

    assert seen.load is not None
    assert seen.load.requests == 17
    assert [one.cpu_cores for one in seen.usage] == [0.1]


def test_the_load_is_unknown_while_one_replica_cannot_be_read() -> None:
    deltas = Deltas()
    both = workload(pod("a"), pod("b"))
    look(deltas, 0, of=both, a=counters(0, requests=0), b=counters(0, requests=0))

    seen = only(look(deltas, 10, of=both, faults=("b is silent",), a=counters(10, cpu=1, requests=10)))

    assert seen.load is None
    assert len(seen.usage) == 1


def test_a_replica_that_answers_again_does_not_bring_its_past_into_one_interval() -> None:
    deltas = Deltas()
    both = workload(pod("a"), pod("b"))
    look(deltas, 0, of=both, a=counters(0, requests=0), b=counters(0, requests=9000))
    look(deltas, 10, of=both, faults=("b is silent",), a=counters(10, requests=10))

    again = only(look(deltas, 20, of=both, a=counters(20, requests=20), b=counters(20, requests=9100)))
    after = only(look(deltas, 30, of=both, a=counters(30, requests=30), b=counters(30, requests=9150)))

    assert again.load is None
    assert after.load is not None
    assert after.load.requests == 60  # 10 of a and 50 of b


def test_figures_that_prometheus_has_not_renewed_yet_are_waited_for_and_nothing_is_lost() -> None:
    deltas = Deltas()
    look(deltas, 0, a=counters(0, requests=0), b=counters(0, requests=0))

    half = look(deltas, 15, a=counters(15, requests=10), b=counters(0, requests=0))
    whole = only(look(deltas, 30, a=counters(15, requests=10), b=counters(20, requests=5)))

    assert half.observations == {}
    assert whole.load is not None
    assert whole.load.requests == 15


def test_an_outage_of_the_source_loses_nothing_of_what_the_pods_counted() -> None:
    deltas = Deltas()
    both = workload(pod("a"), pod("b"))
    look(deltas, 0, of=both, a=counters(0, requests=0), b=counters(0, requests=0))
    look(deltas, 10, of=both, faults=("Prometheus cannot be asked",))

    after = only(look(deltas, 20, of=both, a=counters(20, requests=7), b=counters(20, requests=3)))

    assert after.load is not None
    assert (after.load.requests, after.load.interval_seconds) == (10, 20)


def test_a_mean_over_a_long_outage_is_no_measurement() -> None:
    deltas = Deltas()
    look(deltas, 0, a=counters(0, cpu=0.0, requests=0))

    after = only(look(deltas, 601, a=counters(601, cpu=60.0, requests=6000, memory_bytes=5)))

    assert after.load is None
    assert (after.usage[0].cpu_cores, after.usage[0].memory_bytes) == (None, 5)


def test_tokens_are_counted_over_the_interval_where_a_server_counts_them() -> None:
    deltas = Deltas()
    look(deltas, 0, a=counters(0, requests=1, output_tokens=100.0))

    seen = only(look(deltas, 10, a=counters(10, requests=2, output_tokens=350.0)))

    assert seen.load is not None
    assert (seen.load.input_tokens, seen.load.output_tokens) == (None, 250)


def test_an_impossible_ratio_is_a_problem_beside_the_other_figures() -> None:
    deltas = Deltas()
    look(deltas, 0, a=counters(0, cpu=1.0))

    reading = look(deltas, 10, a=counters(10, cpu=2.0, problem="1.70 of one card"))

    assert reading.problems == {KEY: "1.70 of one card"}
    assert only(reading).usage[0].cpu_cores == 0.1


def test_latencies_are_counted_by_edge_over_the_interval() -> None:
    deltas = Deltas()
    look(deltas, 0, a=counters(0, requests=100, latency={0.01: 50.0, 0.1: 100.0}))

    seen = only(look(deltas, 10, a=counters(10, requests=110, latency={0.01: 52.0, 0.1: 110.0})))

    assert seen.load is not None
    assert seen.load.latency_buckets == ((0.01, 2), (0.1, 10))


def test_service_time_is_compute_time_over_requests() -> None:
    deltas = Deltas()
    look(deltas, 0, a=counters(0, requests=0, compute_seconds=1.0))

    seen = only(look(deltas, 10, a=counters(10, requests=20, compute_seconds=2.0)))

    assert seen.load is not None
    assert seen.load.service_seconds == 0.05  # 1 s for 20 requests


def test_a_time_without_requests_has_a_load_of_zero_and_no_service_time() -> None:
    deltas = Deltas()
    look(deltas, 0, a=counters(0, requests=7, compute_seconds=1.0))

    seen = only(look(deltas, 10, a=counters(10, requests=7, compute_seconds=1.0)))

    assert seen.load is not None
    assert (seen.load.requests, seen.load.service_seconds) == (0, None)


def test_a_server_that_counts_no_requests_has_use_but_no_load() -> None:
    deltas = Deltas()
    look(deltas, 0, a=PodCounters(at=at(0), cpu_seconds=1.0))

    seen = only(look(deltas, 10, a=PodCounters(at=at(10), cpu_seconds=2.0)))

    assert seen.load is None
    assert seen.usage[0].cpu_cores == 0.1


def test_cpu_that_another_source_dates_differently_is_divided_by_its_own_time() -> None:
    deltas = Deltas()
    look(deltas, 0, a=counters(0, cpu=0.0, cpu_at=at(-5)))

    seen = only(look(deltas, 15, a=counters(15, cpu=5.0, cpu_at=at(5))))

    assert seen.usage[0].cpu_cores == 0.5  # 5 s in the 10 s between -5 and 5


def test_no_ready_replica_and_a_silent_one_are_told_apart() -> None:
    starting = look(Deltas(), 0, of=workload(pod(is_ready=False)))
    silent = look(Deltas(), 0, of=workload(pod()), faults=("pod a cannot be scraped",))

    assert starting.problems == {KEY: "no replica is ready"}
    assert silent.problems == {KEY: "pod a cannot be scraped"}


def test_a_kill_for_memory_is_told_once_with_its_limit() -> None:
    state = {"terminated": {"reason": "OOMKilled", "finishedAt": "2026-11-24T12:00:00Z"}}
    deltas = Deltas()
    seen = workload(pod("a", containerStatuses=[{"name": "serve", "lastState": state}]))

    first = look(deltas, 0, of=seen, a=counters(0))
    second = look(deltas, 10, of=seen, a=counters(10))

    assert only(first).out_of_memory_bytes == (64 * 1024**2,)
    assert only(second).out_of_memory_bytes == ()


def test_a_second_kill_of_the_same_container_is_told_too() -> None:
    def seen(finished: str) -> Workload:
        state = {"terminated": {"reason": "OOMKilled", "finishedAt": finished}}
        return workload(pod("a", containerStatuses=[{"name": "serve", "lastState": state}]))

    deltas = Deltas()
    look(deltas, 0, of=seen("2026-11-24T12:00:00Z"), a=counters(0))

    again = look(deltas, 10, of=seen("2026-11-24T12:00:08Z"), a=counters(10))

    assert only(again).out_of_memory_bytes == (64 * 1024**2,)


def test_the_age_is_that_of_the_oldest_newest_figure() -> None:
    reading = look(Deltas(), 40, a=counters(10))

    assert reading.ages_seconds == {"pods": 30}
