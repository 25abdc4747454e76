"""Peaks of a quantity that must never run short, one a day, in a decaying histogram. Averages have no place here.

Source: kubernetes/autoscaler, vertical-pod-autoscaler/pkg/recommender/model/container.go: memory is aggregated as one
peak per 24 h interval, and the open interval's peak counts from its first sample, so a fresh service has a figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from frugal.sizing.histogram import MEMORY_BYTES, Buckets, Histogram

WINDOW_SECONDS = 86_400  # VPA: memory-aggregation-interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Peaks:
    """The peak of each closed window (UTC day) in `closed`, and the open window's so far."""

    closed: Histogram
    window: int | None = None  # days since the epoch
    peak: float = 0.0

    @classmethod
    def empty(cls, buckets: Buckets = MEMORY_BYTES) -> Peaks:
        return cls(closed=Histogram.empty(buckets))

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever measured."""
        return self.window is None

    def add(self, value: float, *, at: datetime) -> Peaks:
        """Return the peaks with one more sample; one that is older than the open window counts towards that window."""
        window = int(at.timestamp()) // WINDOW_SECONDS
        if self.window is None:
            return replace(self, window=window, peak=value)
        if window > self.window:
            return Peaks(closed=self.all(), window=window, peak=value)
        return replace(self, peak=max(self.peak, value)) if value > self.peak else self

    def all(self) -> Histogram:
        """Return the peaks of all windows, the open one included."""
        if self.window is None:
            return self.closed
        start = datetime.fromtimestamp(self.window * WINDOW_SECONDS, tz=UTC)
        return self.closed.add(self.peak, at=start)

    def percentile(self, quantile: float) -> float:
        """Return the percentile of the daily peaks; there must be one."""
        return self.all().percentile(quantile)

    def to_json(self) -> dict[str, Any]:
        """Return the peaks compactly."""
        return (
            {} if self.window is None else {"closed": self.closed.to_json(), "window": self.window, "peak": self.peak}
        )

    @classmethod
    def from_json(cls, saved: Mapping[str, Any], buckets: Buckets = MEMORY_BYTES) -> Peaks:
        """Return what `to_json` saved."""
        if not saved:
            return cls.empty(buckets)
        closed = Histogram.from_json(saved["closed"], buckets)
        return cls(closed=closed, window=int(saved["window"]), peak=float(saved["peak"]))
