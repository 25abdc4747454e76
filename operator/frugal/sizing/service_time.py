"""How long a request computes and how much CPU it takes: means that forget with a half-life of an hour. No waiting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from frugal.sizing.samples import LoadSample

HALF_LIFE_SECONDS = 3_600.0  # a new version of the model or another batch size shows within the hour
MIN_COMPUTE_RATIO = 0.2  # of the CPU; below it start-up, probes and idling are most of it and say nothing of a request


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTime:
    """Decayed sums, as of `at_seconds` since the epoch.

    requests, compute_seconds: of all requests. cpu_requests, cpu_seconds: of those intervals in which the CPU, of all
    replicas together, was used for requests in the main.
    """

    at_seconds: float = 0.0
    requests: float = 0.0
    compute_seconds: float = 0.0
    cpu_requests: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def mean_seconds(self) -> float | None:
        """Mean compute time of a request, or None when none was ever measured."""
        return self.compute_seconds / self.requests if self.requests > 0 else None

    @property
    def cpu_seconds_per_request(self) -> float | None:
        """CPU time of a request with all that is around it (HTTP, parsing), or None where it was not measured."""
        return self.cpu_seconds / self.cpu_requests if self.cpu_requests > 0 else None

    def add(self, load: LoadSample, *, cpu_cores: float | None) -> ServiceTime:
        """Return the means with one more sample, each of its requests counting alike.

        cpu_cores: used by all replicas together over the same interval; None where it was not measured.
        """
        if load.service_seconds is None or load.requests <= 0:
            return self
        moment = max(self.at_seconds, load.at.timestamp())
        kept = 2.0 ** ((self.at_seconds - moment) / HALF_LIFE_SECONDS) if self.requests else 0.0
        compute = load.requests * load.service_seconds
        cpu = (cpu_cores or 0.0) * load.interval_seconds
        tells = 0 < cpu <= compute / MIN_COMPUTE_RATIO
        return ServiceTime(
            at_seconds=moment,
            requests=self.requests * kept + load.requests,
            compute_seconds=self.compute_seconds * kept + compute,
            cpu_requests=self.cpu_requests * kept + load.requests * tells,
            cpu_seconds=self.cpu_seconds * kept + cpu * tells,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the sums to nine digits."""
        sums = (self.requests, self.compute_seconds, self.cpu_requests, self.cpu_seconds)
        return {"at": self.at_seconds, "sums": [float(f"{value:.9g}") for value in sums]}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> ServiceTime:
        """Return what `to_json` saved."""
        requests, compute_seconds, cpu_requests, cpu_seconds = map(float, saved["sums"])
        return cls(
            at_seconds=float(saved["at"]),
            requests=requests,
            compute_seconds=compute_seconds,
            cpu_requests=cpu_requests,
            cpu_seconds=cpu_seconds,
        )
