"""What one pod's counters and gauges stand at, whoever read them. Differences over time are made in `deltas`."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from frugal.telemetry.exposition import Sample

REQUESTS = "frugal_serve_requests_total"
LATENCY_BUCKET = "frugal_serve_request_duration_seconds_bucket"
COMPUTE_SUM = "frugal_serve_compute_duration_seconds_sum"
IN_FLIGHT = "frugal_serve_in_flight_requests"
PROCESS_CPU = "process_cpu_seconds_total"
PROCESS_MEMORY = "process_resident_memory_bytes"

SERVER_METRICS = (REQUESTS, LATENCY_BUCKET, COMPUTE_SUM, IN_FLIGHT, PROCESS_CPU, PROCESS_MEMORY)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodCounters:
    """Where one pod stands; a field is None where nothing says it, never where it is 0.

    at: when the figures were true; cpu_at: when cpu_seconds was, where another source says it.
    cpu_seconds, compute_seconds: since the process began.
    requests: answers by HTTP status. latency: answers at most so many seconds slow, by that edge.
    """

    at: datetime
    cpu_at: datetime | None = None
    cpu_seconds: float | None = None
    memory_bytes: int | None = None
    gpu_ratio: float | None = None
    gpu_memory_bytes: int | None = None
    requests: Mapping[str, float] = field(default_factory=dict)
    latency: Mapping[float, float] = field(default_factory=dict)
    compute_seconds: float | None = None
    in_flight: float | None = None

    @property
    def cpu_moment(self) -> datetime:
        """When cpu_seconds was true."""
        return self.cpu_at or self.at


def pod_counters(samples: Iterable[Sample], *, at: datetime) -> PodCounters:
    """Return where a pod stands by its own metrics, of whatever models it serves together."""
    totals: defaultdict[str, float] = defaultdict(float)
    requests: defaultdict[str, float] = defaultdict(float)
    latency: defaultdict[float, float] = defaultdict(float)
    for sample in samples:
        totals[sample.name] += sample.value
        if sample.name == REQUESTS:
            requests[sample.labels.get("code", "")] += sample.value
        elif sample.name == LATENCY_BUCKET and math.isfinite(edge := float(sample.labels["le"])):
            latency[edge] += sample.value
    memory = totals.get(PROCESS_MEMORY)
    return PodCounters(
        at=at,
        cpu_seconds=totals.get(PROCESS_CPU),
        memory_bytes=int(memory) if memory is not None else None,
        requests=dict(requests),
        latency=dict(latency),
        compute_seconds=totals.get(COMPUTE_SUM),
        in_flight=totals.get(IN_FLIGHT),
    )
