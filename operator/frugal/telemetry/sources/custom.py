"""A runtime that nobody here knows, by the names that its user gives (`spec.runtime.metrics`)."""

from __future__ import annotations

from functools import lru_cache

from frugal.api.inference_deployment import LatencyUnit, RuntimeMetrics
from frugal.telemetry.sources.server import RequestCounter, ServerMetrics

UNIT_SECONDS = {LatencyUnit.SECONDS: 1.0, LatencyUnit.MILLISECONDS: 1e-3, LatencyUnit.MICROSECONDS: 1e-6}


def declared(metrics: RuntimeMetrics) -> ServerMetrics:
    """Return the names of a user's own runtime; equal declarations give the very same object."""
    return _declared(
        metrics.requests, metrics.failures or "", metrics.latency or "", metrics.latency_unit, metrics.in_flight or ""
    )


@lru_cache(maxsize=1024)
def _declared(requests: str, failures: str, latency: str, unit: LatencyUnit, in_flight: str) -> ServerMetrics:
    counted = [RequestCounter(metric=requests, status="200")]
    if failures:
        counted.append(RequestCounter(metric=failures, status="500"))
    return ServerMetrics(
        runtime="custom",
        anchor=requests,
        requests=tuple(counted),
        latency=latency,
        unit_seconds=UNIT_SECONDS[unit],
        in_flight=(in_flight,) if in_flight else (),
        failures_are_requests=bool(failures),
    )
