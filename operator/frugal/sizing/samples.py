"""What telemetry measured, in base units: one replica's use, one workload's load. Nothing is aggregated here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSample:
    """One replica over one interval; a field is None where it was not measured, never where it was idle.

    at: end of the interval.
    cpu_cores: CPU seconds used per second.
    memory_bytes: highest working set (or resident size) seen in the interval.
    gpu_ratio: engine activity of the replica's own share, in [0, 1].
    gpu_memory_bytes: highest frame buffer use.
    gpu_source: the metric that gpu_ratio is read from, and how a shared card's activity was shared out.
    """

    at: datetime
    cpu_cores: float | None
    memory_bytes: int | None
    gpu_ratio: float | None = None
    gpu_memory_bytes: int | None = None
    gpu_source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSample:
    """What a workload, all its replicas together, was asked over one interval that ends `at`.

    requests: answered in the interval; failed: those of them that were answered with an error of the server's.
    service_seconds: mean compute time of a request, without waiting; None when nothing was computed.
    latency_buckets: (upper edge in seconds, answers at most that slow), cumulative, edges ascending, over the interval.
    in_flight: requests being served or waiting at `at`.
    replicas: ready replicas that shared the load.
    input_tokens, output_tokens: over the interval; None where the server counts none.
    """

    at: datetime
    interval_seconds: float
    requests: float
    failed: float
    service_seconds: float | None
    latency_buckets: tuple[tuple[float, int], ...]
    in_flight: float
    replicas: int
    input_tokens: float | None = None
    output_tokens: float | None = None

    @property
    def rate(self) -> float:
        """Requests per second over the interval."""
        return self.requests / self.interval_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one tick of telemetry brought for one workload.

    out_of_memory_bytes: memory limits at which a container was killed since the last observation.
    kind: key of the kind of accelerator that every replica ran on; empty where it is not known.
    """

    usage: tuple[UsageSample, ...]
    load: LoadSample | None = None
    out_of_memory_bytes: tuple[int, ...] = ()
    kind: str = ""

    def of_mixed_kinds(self) -> Observation:
        """Return what it says where replicas of two kinds shared the load: nothing of what one kind can do."""
        usage = tuple(replace(sample, gpu_ratio=None) for sample in self.usage)
        load = replace(self.load, service_seconds=None) if self.load is not None else None
        return replace(self, usage=usage, load=load)

    def on_kind(self, kind: str) -> Observation:
        """Return it as measured on the kind of this key."""
        return replace(self, kind=kind)
