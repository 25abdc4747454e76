"""The operator's own counters and histograms, counted where the work happens. What workloads do stands in snapshots."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from frugal.metrics.catalogue import CATALOGUE

# one look takes milliseconds on a quiet API server and up to 60 s, where the engine gives up
DURATION_BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class OperatorInstruments:
    """Counts looks at objects and readings of telemetry; fulfils `frugal.loop.instruments.Instruments`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._reconciles = _histogram("frugal_reconcile_duration_seconds", registry)
        self._reconcile_errors = _counter("frugal_reconcile_errors_total", registry)
        self._ticks = _histogram("frugal_tick_duration_seconds", registry)
        self._tick_errors = _counter("frugal_tick_errors_total", registry)

    def reconciled(self, kind: str, *, seconds: float, error: str) -> None:
        """Count one look at an object; `error` names the fault, empty when there was none."""
        self._reconciles.labels(kind=kind).observe(seconds)
        if error:
            self._reconcile_errors.labels(kind=kind, error=error).inc()

    def ticked(self, *, seconds: float, error: str) -> None:
        """Count one reading of telemetry."""
        self._ticks.observe(seconds)
        if error:
            self._tick_errors.labels(error=error).inc()


def _histogram(name: str, registry: CollectorRegistry) -> Histogram:
    metric = CATALOGUE[name]
    return Histogram(name, metric.help, metric.labels, registry=registry, buckets=DURATION_BUCKETS_SECONDS)


def _counter(name: str, registry: CollectorRegistry) -> Counter:
    metric = CATALOGUE[name]
    return Counter(name, metric.help, metric.labels, registry=registry)
