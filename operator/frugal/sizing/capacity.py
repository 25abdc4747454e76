"""What one replica can do on one kind of accelerator, learnt from what is measured; no benchmark beforehand.

By Little's law a replica has rate x service time requests in service; by the utilization law that is its activity times
the requests that it serves at once when it is busy. Their ratio is its concurrency, whatever the server batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from frugal.sizing.histogram import RATIO, Histogram
from frugal.sizing.samples import LoadSample
from frugal.sizing.service_time import HALF_LIFE_SECONDS, ServiceTime

LEAST_ACTIVITY = 0.02  # below it rounding and idling are most of what is measured
LEAST_REQUESTS = 30  # before a mean service time is worth more than a published ratio (central limit, customary)


@dataclass(frozen=True, slots=True, kw_only=True)
class Concurrency:
    """Decayed sums as of `at_seconds` since the epoch: requests in service, and activity at the same moments."""

    at_seconds: float = 0.0
    in_service: float = 0.0
    activity: float = 0.0

    @property
    def requests(self) -> float | None:
        """Requests that a busy replica serves at once; None where it was not measured."""
        return self.in_service / self.activity if self.activity > 0 else None

    def add(self, load: LoadSample, *, activity: float | None) -> Concurrency:
        """Return the sums with one more sample; `activity` is the mean over the replicas, in [0, 1]."""
        if activity is None or activity < LEAST_ACTIVITY or not load.service_seconds or not load.replicas:
            return self
        moment = max(self.at_seconds, load.at.timestamp())
        kept = 2.0 ** ((self.at_seconds - moment) / HALF_LIFE_SECONDS) if self.activity else 0.0
        in_service = load.rate / load.replicas * load.service_seconds
        return Concurrency(
            at_seconds=moment,
            in_service=self.in_service * kept + in_service,
            activity=self.activity * kept + activity,
        )

    def to_json(self) -> list[float]:
        """Return the sums to nine digits."""
        return [self.at_seconds, *(float(f"{value:.9g}") for value in (self.in_service, self.activity))]

    @classmethod
    def from_json(cls, saved: list[float]) -> Concurrency:
        """Return what `to_json` saved."""
        at_seconds, in_service, activity = map(float, saved)
        return cls(at_seconds=at_seconds, in_service=in_service, activity=activity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What was measured on one kind. `gpu`: engine activity of a replica, in [0, 1]."""

    service: ServiceTime = field(default_factory=ServiceTime)
    gpu: Histogram = field(default_factory=lambda: Histogram.empty(RATIO))
    concurrency: Concurrency = field(default_factory=Concurrency)

    @property
    def is_known(self) -> bool:
        """Whether enough was measured on this kind to rest on it: requests, or activity where none are counted."""
        if self.service.requests:
            return self.service.requests >= LEAST_REQUESTS
        return self.gpu.total_weight >= LEAST_REQUESTS

    def slower(self, factor: float) -> Capacity:
        """Return what is expected where computing takes `factor` times as long; the CPU around it stays."""
        return replace(self, service=replace(self.service, compute_seconds=self.service.compute_seconds * factor))

    def to_json(self) -> dict[str, Any]:
        """Return it compactly."""
        return {
            "service": self.service.to_json(),
            "gpu": self.gpu.to_json(),
            "concurrency": self.concurrency.to_json(),
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Capacity:
        """Return what `to_json` saved."""
        return cls(
            service=ServiceTime.from_json(saved["service"]),
            gpu=Histogram.from_json(saved["gpu"], RATIO),
            concurrency=Concurrency.from_json(saved["concurrency"]),
        )
