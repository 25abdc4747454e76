"""How long a request computes: a mean over requests that forgets with a half-life of an hour. Waiting is not in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from frugal.sizing.samples import LoadSample

HALF_LIFE_SECONDS = 3_600.0  # a new version of the model or another batch size shows within the hour


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTime:
    """Decayed sums, as of `at_seconds` since the epoch."""

    at_seconds: float = 0.0
    requests: float = 0.0
    busy_seconds: float = 0.0

    @property
    def mean_seconds(self) -> float | None:
        """Mean compute time of a request, or None when none was ever measured."""
        return self.busy_seconds / self.requests if self.requests > 0 else None

    def add(self, load: LoadSample) -> ServiceTime:
        """Return the mean with one more sample, each of its requests counting alike."""
        if load.service_seconds is None or load.requests <= 0:
            return self
        moment = max(self.at_seconds, load.at.timestamp())
        kept = 2.0 ** ((self.at_seconds - moment) / HALF_LIFE_SECONDS) if self.requests else 0.0
        return ServiceTime(
            at_seconds=moment,
            requests=self.requests * kept + load.requests,
            busy_seconds=self.busy_seconds * kept + load.requests * load.service_seconds,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the sums to nine digits."""
        sums = (self.requests, self.busy_seconds)
        return {"at": self.at_seconds, "sums": [float(f"{value:.9g}") for value in sums]}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> ServiceTime:
        """Return what `to_json` saved."""
        requests, busy_seconds = saved["sums"]
        return cls(at_seconds=float(saved["at"]), requests=float(requests), busy_seconds=float(busy_seconds))
