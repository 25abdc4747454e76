"""Answers read as they are meant: whose they are, which of two sources counts, and what is seen twice."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from frugal.api.inference_deployment import LatencyUnit, RuntimeMetrics
from frugal.loop.ports import Workload
from frugal.telemetry.counters import PodCounters
from frugal.telemetry.tick import ComputeTimes, Tick
from tests.unit.telemetry.factories import KEY, at, pod, workload

POD = ("team", "a")


def series(name: str, value: float | str, **labels: str) -> dict[str, Any]:
    return {
        "metric": {"__name__": name, "namespace": "team", "pod": "a", **labels},
        "value": [at(0).timestamp(), str(value)],
    }


def found(
    *,
    server: Iterable[dict[str, Any]] = (),
    declared: Iterable[dict[str, Any]] = (),
    cpu_seconds: float | None = None,
    memory_bytes: float | None = None,
    of: Workload | None = None,
) -> PodCounters:
    """Return where pod a of namespace team stands, scraped at noon."""
    tick = Tick([of or workload(pod())])
    tick.values(tick.server_at)([series("", at(0).timestamp())])
    tick.server(server)
    tick.declared(declared)
    if cpu_seconds is not None:
        tick.values(tick.cpu_seconds)([series("", cpu_seconds)])
        tick.values(tick.cpu_at)([series("", at(-10).timestamp())])
    if memory_bytes is not None:
        tick.values(tick.memory_bytes)([series("", memory_bytes)])
    tick.end()
    counters = tick.counters(POD, {})
    assert counters is not None
    return counters


OWN = (series("process_cpu_seconds_total", 5.0), series("process_resident_memory_bytes", 100.0))


def test_the_kubelets_figures_replace_what_the_process_says_of_itself() -> None:
    counters = found(server=OWN, cpu_seconds=7.0, memory_bytes=120.0)

    assert (counters.cpu_seconds, counters.memory_bytes) == (7.0, 120)
    assert (counters.at, counters.cpu_moment) == (at(0), at(-10))


def test_without_the_kubelets_figures_the_process_speaks() -> None:
    counters = found(server=OWN)

    assert (counters.cpu_seconds, counters.memory_bytes, counters.cpu_moment) == (5.0, 100, at(0))


def test_a_series_of_a_pod_that_nobody_asked_for_changes_nothing() -> None:
    stranger = series("process_cpu_seconds_total", 1000.0, pod="stranger")

    assert found(server=[*OWN, stranger]).cpu_seconds == 5.0


def test_what_is_no_number_is_not_measured() -> None:
    blanks = [series("process_cpu_seconds_total", one) for one in ("NaN", "+Inf", "9223372036854775794", "abc")]

    assert found(server=blanks).cpu_seconds is None


TORCHSERVE = RuntimeMetrics(
    requests="ts_inference_requests_total",
    failures="Requests5XX",
    latency="ts_inference_latency",
    latency_unit=LatencyUnit.MICROSECONDS,
    in_flight="QueueSize",
)


def test_a_runtime_that_its_user_describes_is_read_by_these_names() -> None:
    counters = found(
        of=Workload(key=KEY, pods=(pod(),), metrics=TORCHSERVE),
        declared=[
            series("ts_inference_requests_total", 90, model_name="m", hostname="x"),
            series("ts_inference_requests_total", 10, model_name="n", hostname="x"),
            series("Requests5XX", 5),
            series("ts_inference_latency_bucket", 60, le="5000"),
            series("ts_inference_latency_bucket", 100, le="+Inf"),
            series("QueueSize", 3),
        ],
    )

    assert counters.requests == {"200": 95.0, "500": 5.0}
    assert counters.latency == {0.005: 60.0}  # 5,000 microseconds
    assert counters.in_flight == 3


def test_a_declared_series_that_two_servers_scraped_counts_once() -> None:
    twice = [
        series("ts_inference_requests_total", 90, prometheus_replica="0"),
        series("ts_inference_requests_total", 92, prometheus_replica="1"),
    ]

    counters = found(of=Workload(key=KEY, pods=(pod(),), metrics=TORCHSERVE), declared=twice)

    assert counters.requests == {"200": 92.0, "500": 0.0}  # the newer of both


def test_compute_time_is_told_by_its_increase_from_the_second_look_on() -> None:
    times = ComputeTimes()

    def look(seconds: float) -> None:
        tick = Tick([workload(pod("a"), pod("b"))])
        for name in ("a", "b"):
            tick.gpu([series("DCGM_FI_PROF_GR_ENGINE_ACTIVE", 0.5, UUID="GPU-1", pod=name)])
            compute = series("frugal_serve_compute_duration_seconds_sum", seconds, pod=name)
            tick.server([compute, series("frugal_serve_in_flight_requests", 0, pod=name)])
        times.look(tick)

    look(10.0)
    first = dict(times.increases)
    look(13.0)
    second = dict(times.increases)
    look(1.0)  # both began again

    assert first == {}
    assert second == {("team", "a"): 3.0, ("team", "b"): 3.0}
    assert times.increases == {("team", "a"): 1.0, ("team", "b"): 1.0}
