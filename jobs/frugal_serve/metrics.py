"""The server's metrics, named as the operator's telemetry reads them. Counting costs a request a few microseconds.

Written by the event loop's thread alone; a scrape is rendered by another thread and stops no inference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

LATENCY_EDGES_SECONDS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
BATCH_EDGES_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
MODEL = ("model", "version")


class ServeMetrics:
    """All families of one server, and what the request path does with them."""

    def __init__(self, *, model: str, version: str, threshold_seconds: float | None) -> None:
        self.registry = CollectorRegistry()
        self._labels = {"model": model, "version": version}
        self._requests = Counter(
            "frugal_serve_requests_total", "Inference requests answered.", (*MODEL, "code"), registry=self.registry
        )
        self._by_code: dict[int, Counter] = {}
        edges = sorted({*LATENCY_EDGES_SECONDS, *((threshold_seconds,) if threshold_seconds else ())})
        self._duration = self._histogram(
            "request_duration", "From a request's first byte to its answer.", edges, MODEL
        ).labels(**self._labels)
        self._queue = self._histogram("queue_duration", "From a request's arrival in the queue to its run.", edges)
        self._compute = self._histogram("compute_duration", "Of one run of the runtime, whatever its rows.", edges)
        self._batch = Histogram(
            "frugal_serve_batch_size", "Rows of one run.", buckets=BATCH_EDGES_ROWS, registry=self.registry
        )
        self._depth = self._gauge("queue_depth", "Requests that wait.")
        self._in_flight = self._gauge("in_flight_requests", "Inference requests accepted and not yet answered.")
        self._load = self._gauge("model_load_seconds", "From the first byte fetched to the end of the warm-up.")
        self._info = Gauge(
            "frugal_serve_model_info", "1 for the model that is served.", (*MODEL, "sha256", "runtime"),
            registry=self.registry,
        )  # fmt: skip
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def answered(self, *, code: int, seconds: float) -> None:
        """Count one inference request."""
        counter = self._by_code.get(code)
        if counter is None:
            counter = self._by_code[code] = self._requests.labels(**self._labels, code=str(code))
        counter.inc()
        self._duration.observe(seconds)

    def abandoned(self) -> None:
        """Count one inference request whose client went away, as nginx does; it has no latency to speak of."""
        self._requests.labels(**self._labels, code="499").inc()

    def ran(self, *, rows: int, compute_seconds: float, waits_seconds: Sequence[float]) -> None:
        """Count one run of the runtime."""
        self._compute.observe(compute_seconds)
        self._batch.observe(rows)
        for wait_seconds in waits_seconds:
            self._queue.observe(wait_seconds)

    def loaded(self, *, sha256: str, runtime: str, seconds: float) -> None:
        """Say which model is served now."""
        self._info.labels(**self._labels, sha256=sha256, runtime=runtime).set(1)
        self._load.set(seconds)

    def follow(self, *, depth: Callable[[], int], in_flight: Callable[[], int]) -> None:
        """Ask for these two at each scrape instead of counting them along."""
        self._depth.set_function(depth)
        self._in_flight.set_function(in_flight)

    def render(self) -> bytes:
        """Return the exposition in Prometheus' text format."""
        return generate_latest(self.registry)

    def _histogram(self, name: str, help_text: str, edges: Sequence[float], labels: Sequence[str] = ()) -> Histogram:
        return Histogram(f"frugal_serve_{name}_seconds", help_text, labels, buckets=edges, registry=self.registry)

    def _gauge(self, name: str, help_text: str) -> Gauge:
        return Gauge(f"frugal_serve_{name}", help_text, registry=self.registry)
